#include "launch/tests.h"

#include <string.h>

#include "launch/systemd_path.h"
#include "steps.h"

static int goes_up(struct span path) {
  for (uint32_t at = 0; at <= path.size;) {
    uint32_t end = at;
    while (end < path.size && path.text[end] != '/')
      end++;
    if (end - at == 2 && !memcmp(path.text + at, "..", 2)) return 1;
    at = end + 1;
  }
  return 0;
}

// Does the predicate hold for the text and one argument of the test?
static int compare(uint8_t predicate, struct span text, struct span other) {
  if (text.size < other.size) return 0;
  switch (predicate) {
  case TEST_STARTS_WITH:
    return !memcmp(text.text, other.text, other.size);
  case TEST_ENDS_WITH:
    return !memcmp(text.text + text.size - other.size, other.text, other.size);
  case TEST_CONTAINS:
    return memmem(text.text, text.size, other.text, other.size) != 0;
  default:
    return is_same(text, other);
  }
}

// Reads the arguments of a test, and answers it for a text.
static int ask(uint8_t predicate, struct span text, struct reader *r, uint32_t count) {
  char path[TEXT_MAX + 2];
  struct span part;
  int found = 0;
  if (predicate == TEST_IS_EMPTY) found = !text.size;
  if (predicate == TEST_IS_ABSOLUTE) found = text.size && text.text[0] == '/';
  if (predicate == TEST_GOES_UP) found = goes_up(text);
  if (predicate == TEST_IS_UNIT) found = unit_part(text, 0, &part);
  if (predicate == TEST_IS_PATH) text = (struct span){path, (uint32_t)clean_path(text.text, text.size, path)};
  for (; count && !r->bad; count--)
    found |= compare(predicate, text, take_span(r));
  return found;
}

int test_holds(const struct scan *s, struct reader *r) {
  struct leaf value;
  int there = take_value(r, s, &value);
  uint8_t predicate = take_byte(r), answer = take_byte(r);
  uint32_t count = take_number(r);
  if (r->bad || (!there && predicate != TEST_HAS)) return 0;
  switch (predicate) {
  case TEST_HAS:
    return there == answer;
  case TEST_LIST_IS_EMPTY:
    return value.kind == LEAF_LIST && (value.count == 0) == answer;
  case TEST_NUMBER_EQUALS:
    return value.kind == LEAF_NUMBER && (take_wide(r) == value.number) == answer && !r->bad;
  default:
    if (value.kind != LEAF_TEXT || value.size > TEXT_MAX) return 0;
    return ask(predicate, (struct span){value.text, value.size}, r, count) == answer && !r->bad;
  }
}

int guard_holds(const struct scan *s, struct reader *r) {
  struct leaf value;
  int there = take_value(r, s, &value);
  if (take_byte(r) == 'i') return there && value.kind == LEAF_NUMBER && take_wide(r) == value.number && !r->bad;
  struct span expected = take_span(r);
  return there && !r->bad && value.kind == LEAF_TEXT && is_same(expected, (struct span){value.text, value.size});
}
