// Reads the fields of a cache entry. Beyond its end every field is empty, and `bad` is set.
#pragma once
#include "base/text.h"
#include "program/scan.h"

struct reader {
  const uint8_t *at, *end;
  int bad;
};

const void *take(struct reader *r, size_t size);
uint8_t take_byte(struct reader *r);
uint32_t take_number(struct reader *r);
__int128 take_wide(struct reader *r);
struct span take_span(struct reader *r);

// The value that a source names: 1, or 0 if it is missing.
int take_value(struct reader *r, const struct scan *s, struct leaf *value);
