#include "base/need.h"

#include "base/log.h"

void *arena_need(size_t size, const char *what) {
  void *memory = arena_alloc(size);
  if (!memory) fail("no memory for %s", what);
  return memory;
}

struct buffer arena_buffer(size_t capacity) {
  return (struct buffer){arena_need(plus(capacity, 1), "a text"), capacity + 1, 0, 0};
}
