#include "program/scan.h"

#include <string.h>
#include <sys/mman.h>

#include "steps.h"

#define DEPTH 64 // levels of nesting
#define KEYS 256 // members of all objects that are open at a time

struct scanner {
  struct scan *out;
  const char *at, *end;
  char *texts; // room for decoded strings
  struct span keys[KEYS]; // of the objects that are open
  unsigned n_keys, depth;
  char path[512]; // of the current value, as in `slots`
  size_t path_size;
  int takes_bytes; // strings may hold bytes that are not UTF-8
};

// Paths of the list slots and the raw slot: "k" and a key for a member, "a" for an item, each ended by a NUL.
static const struct {
  const char *path;
  size_t size;
  enum leaf_kind kind;
} slots[] = {
#define LIST(path) {path, sizeof path - 1, LEAF_LIST},
#define RAW(path) {path, sizeof path - 1, LEAF_RAW},
    LIST_SLOTS RAW_SLOTS};

static int value(struct scanner *s);

const char *skip_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
    at++;
  return at;
}

static void space(struct scanner *s) { s->at = skip_space(s->at, s->end); }

static int take(struct scanner *s, char sign) {
  space(s);
  if (s->at == s->end || *s->at != sign) return 0;
  s->at++;
  return 1;
}

static void put_token(struct scanner *s, char token) { put_bytes(&s->out->structure, &token, 1); }

static int hex4(const char *at, const char *end, uint32_t *code) {
  if (end - at < 4) return 0;
  *code = 0;
  for (int i = 0; i < 4; i++) {
    int digit = at[i] >= '0' && at[i] <= '9'                 ? at[i] - '0'
                : (at[i] | 32) >= 'a' && (at[i] | 32) <= 'f' ? (at[i] | 32) - 'a' + 10
                                                             : -1;
    if (digit < 0) return 0;
    *code = *code << 4 | (uint32_t)digit;
  }
  return 1;
}

static char *put_code(char *to, uint32_t code) {
  static const unsigned char heads[] = {0, 0xc0, 0xe0, 0xf0};
  int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3; // bytes of UTF-8 behind the first
  *to++ = (char)(heads[more] | code >> 6 * more);
  while (more--)
    *to++ = (char)(0x80 | (code >> 6 * more & 63));
  return to;
}

// Decodes the escape at s->at, behind its backslash: 1, or 0 if it is invalid, NUL or half a surrogate pair.
static int escape(struct scanner *s, char **to) {
  static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  if (s->at == s->end) return 0;
  const char *letter = *s->at ? strchr(letters, *s->at) : 0;
  if (letter) {
    *(*to)++ = meant[letter - letters];
    s->at++;
    return 1;
  }
  uint32_t code, low;
  if (*s->at != 'u' || !hex4(s->at + 1, s->end, &code)) return 0;
  s->at += 5;
  if (code >= 0xd800 && code < 0xdc00) {
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u' || !hex4(s->at + 2, s->end, &low) || low < 0xdc00 ||
        low > 0xdfff)
      return 0;
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    s->at += 6;
  } else if (!code || (code >= 0xdc00 && code < 0xe000))
    return 0;
  *to = put_code(*to, code);
  return 1;
}

// Reads a string. Without escapes `span` points into the document, otherwise to the decoded string in s->texts.
static int string(struct scanner *s, struct span *span) {
  if (!take(s, '"')) return 0;
  const char *start = s->at;
  char *to = 0;
  for (;;) {
    if (s->at == s->end || (unsigned char)*s->at < 0x20) return 0;
    if (*s->at == '"') break;
    if (*s->at == '\\') {
      if (!to) {
        to = s->texts;
        memcpy(to, start, (size_t)(s->at - start));
        to += s->at - start;
      }
      s->at++;
      if (!escape(s, &to)) return 0;
      continue;
    }
    size_t size = s->takes_bytes ? 1 : utf8_character(s->at, s->end);
    if (!size) return 0;
    if (to) {
      memcpy(to, s->at, size);
      to += size;
    }
    s->at += size;
  }
  *span = to ? (struct span){s->texts, (uint32_t)(to - s->texts)} : (struct span){start, (uint32_t)(s->at - start)};
  if (to) s->texts = to;
  s->at++;
  return 1;
}

int scan_string(struct span text, char *to) {
  struct scanner s = {.at = text.text, .end = text.text + text.size, .texts = to};
  struct span value;
  if (!string(&s, &value) || s.at != s.end) return 0;
  memmove(to, value.text, value.size);
  to[value.size] = 0;
  return 1;
}

static struct leaf *add_leaf(struct scanner *s, enum leaf_kind kind, char token) {
  put_token(s, token);
  struct leaf *leaf = &s->out->leaves[s->out->n_leaves++];
  *leaf = (struct leaf){.kind = kind};
  return leaf;
}

static int digits(struct scanner *s) {
  const char *start = s->at;
  while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
    s->at++;
  return (int)(s->at - start);
}

static int number(struct scanner *s) {
  int negative = *s->at == '-', whole = 1;
  s->at += negative;
  const char *start = s->at;
  int count = digits(s);
  if (!count || (*start == '0' && count > 1)) return 0;
  const char *last = s->at;
  if (s->at < s->end && *s->at == '.') {
    s->at++;
    whole = 0;
    if (!digits(s)) return 0;
  }
  if (s->at < s->end && (*s->at | 32) == 'e') {
    s->at++;
    whole = 0;
    if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
    if (!digits(s)) return 0;
  }
  if (!whole) {
    add_leaf(s, LEAF_OTHER, 'f');
    return 1;
  }
  if (count > 20) return 0;
  unsigned __int128 magnitude = 0;
  for (; start < last; start++)
    magnitude = magnitude * 10 + (unsigned)(*start - '0');
  if (magnitude > (negative ? (unsigned __int128)1 << 63 : (unsigned __int128)UINT64_MAX)) return 0;
  add_leaf(s, LEAF_NUMBER, 'i')->number = negative ? -(__int128)magnitude : (__int128)magnitude;
  return 1;
}

static int word(struct scanner *s, const char *text, char token) {
  size_t size = strlen(text);
  if ((size_t)(s->end - s->at) < size || memcmp(s->at, text, size)) return 0;
  s->at += size;
  add_leaf(s, LEAF_OTHER, token);
  return 1;
}

static int add_item(struct scanner *s) { return string(s, &s->out->items[s->out->n_items++]); }

static int list_slot(struct scanner *s) {
  struct leaf *leaf = add_leaf(s, LEAF_LIST, 'L');
  leaf->first = s->out->n_items;
  if (!take(s, '[')) return 0;
  if (!take(s, ']')) {
    do
      if (!add_item(s)) return 0;
    while (take(s, ','));
    if (!take(s, ']')) return 0;
  }
  leaf->count = s->out->n_items - leaf->first;
  return 1;
}

static int has_key(const struct span *keys, unsigned count, const struct span *key) {
  for (unsigned i = 0; i < count; i++)
    if (is_same(keys[i], *key)) return 1;
  return 0;
}

// Checks an object of strings, and keeps its text.
static int raw_slot(struct scanner *s) {
  struct leaf *leaf = add_leaf(s, LEAF_RAW, 'R');
  leaf->first = s->out->n_items;
  leaf->text = s->at;
  if (!take(s, '{')) return 0;
  if (!take(s, '}')) {
    do {
      struct span *key = &s->out->items[s->out->n_items];
      if (!add_item(s) || !take(s, ':') || !add_item(s)) return 0;
      for (struct span *other = &s->out->items[leaf->first]; other < key; other += 2)
        if (has_key(other, 1, key)) return 0;
      if (s->out->n_items - leaf->first > 2 * KEYS) return 0;
    } while (take(s, ','));
    if (!take(s, '}')) return 0;
  }
  leaf->count = (s->out->n_items - leaf->first) / 2;
  leaf->size = (uint32_t)(s->at - leaf->text);
  return 1;
}

static int push(struct scanner *s, char kind, const struct span *key) {
  size_t size = 2 + key->size;
  if (s->path_size + size > sizeof s->path) return 0;
  s->path[s->path_size] = kind;
  memcpy(s->path + s->path_size + 1, key->text, key->size);
  s->path_size += size;
  s->path[s->path_size - 1] = 0;
  return 1;
}

static int members(struct scanner *s) {
  unsigned first = s->n_keys;
  size_t path = s->path_size;
  if (take(s, '}')) return 1;
  do {
    struct span key;
    space(s);
    if (!string(s, &key) || s->n_keys == KEYS || has_key(s->keys + first, s->n_keys - first, &key)) return 0;
    s->keys[s->n_keys++] = key;
    put_token(s, ':');
    put_bytes(&s->out->structure, key.text, key.size);
    put_token(s, 0);
    if (!take(s, ':') || !push(s, 'k', &key) || !value(s)) return 0;
    s->path_size = path;
  } while (take(s, ','));
  s->n_keys = first;
  return take(s, '}');
}

static int elements(struct scanner *s) {
  size_t path = s->path_size;
  if (take(s, ']')) return 1;
  do {
    if (!push(s, 'a', &(struct span){"", 0}) || !value(s)) return 0;
    s->path_size = path;
  } while (take(s, ','));
  return take(s, ']');
}

static int nested(struct scanner *s, char open, char close, int (*inner)(struct scanner *)) {
  if (++s->depth > DEPTH) return 0;
  s->at++;
  put_token(s, open);
  if (!inner(s)) return 0;
  put_token(s, close);
  s->depth--;
  return 1;
}

static int value(struct scanner *s) {
  space(s);
  if (s->at == s->end) return 0;
  switch (*s->at) {
  case '[':
  case '{':
    for (unsigned i = 0; i < COUNT(slots); i++)
      if (slots[i].size == s->path_size && !memcmp(slots[i].path, s->path, s->path_size))
        return slots[i].kind == LEAF_LIST ? list_slot(s) : raw_slot(s);
    return *s->at == '[' ? nested(s, '[', ']', elements) : nested(s, '{', '}', members);
  case '"': {
    struct span span;
    if (!string(s, &span)) return 0;
    struct leaf *leaf = add_leaf(s, LEAF_TEXT, 's');
    leaf->text = span.text;
    leaf->size = span.size;
    return 1;
  }
  case 't':
    return word(s, "true", 't');
  case 'f':
    return word(s, "false", 'b');
  case 'n':
    return word(s, "null", 'n');
  default:
    return *s->at == '-' || (*s->at >= '0' && *s->at <= '9') ? number(s) : 0;
  }
}

int scan_room(struct scan *out, size_t size) {
  // In the document a value takes at least two bytes, a string three, and a key four, for which the structure takes
  // six. Pages that the scanner does not touch cost nothing.
  size_t structure = align16(plus(times(2, size), 16)), texts = align16(plus(size, 16)),
         leaves = times(align16(size / 2 + 2), sizeof(struct leaf));
  size_t items = times(align16(size / 3 + 2), sizeof(struct span));
  char *memory = mmap(0, plus(plus(structure, texts), plus(leaves, items)), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return 0;
  *out = (struct scan){.texts = memory + structure,
      .structure = {memory, structure, 0, 0},
      .leaves = (struct leaf *)(memory + structure + texts),
      .items = (struct span *)(memory + structure + texts + leaves)};
  return 1;
}

int scan_document(struct scan *out, enum document document, struct span text) {
  static const struct span paths[] = {
      [CONFIG_DOCUMENT] = {"", 0}, [PROCESS_DOCUMENT] = {"kprocess", 9}, [REQUEST_DOCUMENT] = {"$", 2}};
  struct scanner s = {.out = out, .at = text.text, .end = text.text + text.size, .texts = out->texts};
  s.takes_bytes = document == REQUEST_DOCUMENT;
  s.path_size = paths[document].size;
  memcpy(s.path, paths[document].text, s.path_size);
  space(&s);
  if (s.at == s.end || *s.at != '{' || !value(&s)) return 0;
  space(&s);
  out->texts = s.texts;
  return s.at == s.end && !out->structure.full;
}
