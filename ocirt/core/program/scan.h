// The scanner of the documents that the cache looks up: strict JSON. What it rejects, Python explains.
#pragma once
#include "base/sys.h"
#include "base/text.h"

enum leaf_kind { LEAF_OTHER, LEAF_TEXT, LEAF_NUMBER, LEAF_LIST, LEAF_RAW };

struct leaf {
  enum leaf_kind kind;
  uint32_t first, count; // LEAF_LIST: strings in items; LEAF_RAW: pairs of key and value there
  uint32_t size;
  const char *text; // decoded; LEAF_RAW: as it stands in the file
  __int128 number;
};

struct scan {
  char *texts; // room for decoded strings
  struct buffer structure; // keys and nesting
  struct leaf *leaves;
  uint32_t n_leaves;
  struct span *items;
  uint32_t n_items;
};

// The documents that a lookup reads. The kind decides which lists and objects are one value, and the strings of a
// request are bytes.
enum document { CONFIG_DOCUMENT, PROCESS_DOCUMENT, REQUEST_DOCUMENT };

int scan_room(struct scan *s, size_t size); // for documents of `size` bytes together: 1, or 0 without memory

// One document after the other, whose values are numbered on: 1, or 0: not a JSON object as RFC 8259 has it, or one
// with what is never bound (a key twice, NUL, half a surrogate pair, a number beyond 64 bits, a list slot that is no
// list of strings, great depth). Python says what is wrong, if anything is.
int scan_document(struct scan *s, enum document document, struct span text);

// One string as a whole text: 1 with what it says, in `texts` (which has room for `size` bytes) where it has escapes;
// or 0.
int scan_string(struct span *out, const char *text, size_t size, char *texts);

const char *skip_space(const char *at, const char *end); // past what JSON has between its tokens
