// Scans the documents of a cache lookup as strict JSON. Python explains what the scanner rejects.
#pragma once
#include "base/text.h"

enum leaf_kind { LEAF_OTHER, LEAF_TEXT, LEAF_NUMBER, LEAF_LIST, LEAF_RAW };

struct leaf {
  enum leaf_kind kind;
  uint32_t first, count; // LEAF_LIST: strings in items; LEAF_RAW: pairs of key and value there
  uint32_t size;
  const char *text; // decoded; LEAF_RAW: as in the file
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

// The documents of a lookup. The kind decides which lists and objects are one value; strings of a request may hold
// bytes that are not UTF-8.
enum document { CONFIG_DOCUMENT, PROCESS_DOCUMENT, REQUEST_DOCUMENT };

int scan_room(struct scan *s, size_t size); // for documents of `size` bytes together: 1, or 0 without memory

// Scans the next document and numbers its values on: 1, or 0 if it is not a JSON object (RFC 8259), or holds what the
// cache never binds (a key twice, NUL, half a surrogate pair, a number beyond 64 bits, a list slot that is no list of
// strings, deep nesting). Python then says what is wrong, if anything is.
int scan_document(struct scan *s, enum document document, struct span text);

// Scans a text that is one string: 1 with its value and a NUL in `to`, which has room for text.size + 1 bytes; or 0.
int scan_string(struct span text, char *to);

const char *skip_space(const char *at, const char *end); // skips JSON's white space
