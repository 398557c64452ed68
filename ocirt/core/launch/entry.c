#include "launch/entry.h"

#include <string.h>

#include "build-id.h"
#include "launch/machine.h"
#include "launch/tests.h"

static int observation_holds(struct reader *r, int *cgroupfs) {
  static char text[8192];
  struct buffer found = {text, sizeof text, 0, 0};
  char kind = (char)take_byte(r), of[512];
  struct span argument = take_span(r), expected = take_span(r);
  if (r->bad || argument.size >= sizeof of) return 0;
  memcpy(of, argument.text, argument.size);
  of[argument.size] = 0;
  text[0] = 0;
  return observe(kind, of, cgroupfs, &found) && !found.full &&
         is_same(expected, (struct span){text, (uint32_t)found.used});
}

static int is_entry(struct reader *r, size_t size) {
  struct entry_head head;
  const void *start = take(r, sizeof head);
  if (!start) return 0;
  memcpy(&head, start, sizeof head);
  return !memcmp(head.magic, CACHE_MAGIC, sizeof head.magic) && head.format == CACHE_FORMAT && head.size == size &&
         !memcmp(head.build, BUILD_ID, BUILD_SIZE);
}

int try_entry(const struct lookup *l, const void *data, size_t size, struct program *program) {
  struct reader r = {data, (const uint8_t *)data + size, 0};
  CLOSING int cgroupfs = -1;
  if (!is_entry(&r, size) || !is_same(take_span(&r), l->key)) return 0;
  for (uint32_t n = take_number(&r); n && !r.bad; n--)
    if (!guard_holds(&l->scan, &r)) return 0;
  for (uint32_t n = take_number(&r); n && !r.bad; n--)
    if (!test_holds(&l->scan, &r)) return 0;
  for (uint32_t n = take_number(&r); n && !r.bad; n--)
    if (!observation_holds(&r, &cgroupfs)) return 0;
  return !r.bad && bind_program(l, &r, program);
}
