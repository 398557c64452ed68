// Memory without malloc: an arena that comes with the executable, then mappings.
#include "base/memory.h"

#include <string.h>
#include <sys/mman.h>

static struct {
  size_t used;
  _Alignas(16) char data[1 << 18];
} ours;

void *arena_alloc(size_t size) {
  size = align16(size);
  if (size <= sizeof ours.data) {
    // Nothing reads the arena before it writes: a read would map the page of zeros, and the write would fault again.
    size_t at = __atomic_fetch_add(&ours.used, size, __ATOMIC_RELAXED);
    if (at <= sizeof ours.data - size) return ours.data + at;
  }
  void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? 0 : memory;
}

void arena_pop(const struct buffer *last) {
  size_t at = (uintptr_t)last->data - (uintptr_t)ours.data;
  if (at >= sizeof ours.data) {
    sys2(SYS_munmap, last->data, align16(last->size));
    return;
  }
  if (at + align16(last->size) != ours.used) return; // a later allocation, which went to mmap, has moved `used`
  memset(last->data, 0, last->used + 1);
  ours.used = at;
}
