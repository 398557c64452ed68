#include "launch/reader.h"

#include <string.h>

#include "launch/systemd_path.h"

const void *take(struct reader *r, size_t size) {
  if (r->bad || (size_t)(r->end - r->at) < size) {
    r->bad = 1;
    return 0;
  }
  const void *data = r->at;
  r->at += size;
  return data;
}

static __int128 take_little_endian(struct reader *r, size_t size) {
  __int128 number = 0;
  const void *data = take(r, size);
  if (data) memcpy(&number, data, size);
  return number;
}

uint8_t take_byte(struct reader *r) { return (uint8_t)take_little_endian(r, sizeof(uint8_t)); }

uint32_t take_number(struct reader *r) { return (uint32_t)take_little_endian(r, sizeof(uint32_t)); }

__int128 take_wide(struct reader *r) { return take_little_endian(r, sizeof(__int128)); }

struct span take_span(struct reader *r) {
  uint32_t size = take_number(r);
  const char *text = take(r, size);
  return text ? (struct span){text, size} : (struct span){"", 0};
}

// Finds the annotation with the key.
static int find_key(const struct scan *s, const struct leaf *raw, struct span key, struct leaf *value) {
  for (const struct span *pair = s->items + raw->first, *end = pair + 2 * (size_t)raw->count; pair < end; pair += 2) {
    if (!is_same(pair[0], key)) continue;
    *value = (struct leaf){.kind = LEAF_TEXT, .text = pair[1].text, .size = pair[1].size};
    return 1;
  }
  return 0;
}

// Counts the annotations whose keys begin with `prefix`.
static int count_keys(const struct scan *s, const struct leaf *raw, struct span prefix, struct leaf *value) {
  *value = (struct leaf){.kind = LEAF_NUMBER};
  for (uint32_t i = 0; i < raw->count; i++) {
    struct span key = s->items[raw->first + 2 * i];
    value->number += key.size >= prefix.size && !memcmp(key.text, prefix.text, prefix.size);
  }
  return value->number > 0;
}

int take_value(struct reader *r, const struct scan *s, struct leaf *value) {
  struct span name = take_span(r);
  uint32_t number = take_number(r);
  if (r->bad || number >= s->n_leaves) {
    r->bad = 1;
    return 0;
  }
  const struct leaf *leaf = &s->leaves[number];
  *value = *leaf;
  if (!name.size) return 1;
  struct span rest = {name.text + 1, name.size - 1}, part;
  if (name.text[0] == ':') {
    if (leaf->kind != LEAF_TEXT || rest.size != 1) return 0;
    if (!unit_part((struct span){leaf->text, leaf->size}, (unsigned)(rest.text[0] - '0'), &part)) return 0;
    *value = (struct leaf){.kind = LEAF_TEXT, .text = part.text, .size = part.size};
    return 1;
  }
  if (leaf->kind != LEAF_RAW) {
    r->bad = 1;
    return 0;
  }
  return name.text[0] == '*' ? count_keys(s, leaf, rest, value) : find_key(s, leaf, rest, value);
}
