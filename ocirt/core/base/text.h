// Strings, numbers, dates and errors, written into buffers without stdio.
#pragma once
#include "base/sys.h"
#include <stdarg.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PATH_SIZE 4096 // of a path with its NUL, for the kernel

// A buffer that never overflows: it cuts text that does not fit, and sets `full`.
struct buffer {
  char *data;
  size_t size, used;
  int full;
};

#define BUFFER(name, capacity) \
  char name##_data[capacity]; \
  struct buffer name = {name##_data, sizeof name##_data, 0, 0}; \
  name##_data[0] = 0

// Like BUFFER, in .bss: for large, rarely used buffers in functions that are not entered twice.
#define STATIC_BUFFER(name, capacity) \
  static char name##_data[capacity]; \
  struct buffer name = {name##_data, sizeof name##_data, 0, 0}

// Large or rarely used zeroed memory has a section of its own, so that the rest of .bss spans few pages.
#define COLD_BSS __attribute__((section(COLD_BSS_SECTION)))

// Sums and products of sizes. An overflow gives SIZE_MAX, which no allocation can satisfy.
static inline size_t plus(size_t a, size_t b) {
  size_t sum;
  return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static inline size_t times(size_t a, size_t b) {
  size_t product;
  return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

// Rounds a size up to the alignment that any type needs.
static inline size_t align16(size_t size) { return plus(size, 15) & ~(size_t)15; }
void put(struct buffer *to, const char *text);
void put_bytes(struct buffer *to, const char *text, size_t size);
void put_number(struct buffer *to, int64_t number);
size_t utf8_character(const char *at, const char *end); // the size of the character at `at`, 0 if it is not UTF-8
void put_layer(struct buffer *to, const char *path); // escapes a path for a list that colons separate
void put_time(struct buffer *to, int64_t seconds, int64_t nanoseconds); // RFC 3339, UTC; nanoseconds < 0: no fraction
void put_error(struct buffer *to, int error); // as Go writes it: "no such file or directory"

// Appends text with %s (text), %d (int), %l (int64_t), %j (text as JSON), %q (text as JSON, with bytes that are not
// UTF-8 unchanged) and %e (int: an error number, as put_error writes it). vformat returns the first error number among
// the arguments, 0 if none is an error number.
void format(struct buffer *to, const char *pattern, ...);
int vformat(struct buffer *to, const char *pattern, va_list arguments);

// Removes ".", ".." and needless slashes from the text of a path, as clean() in model/text.py does, and returns its new
// size. `out` needs one byte more than `size`; no NUL is written.
size_t clean_path(const char *path, size_t size, char *out);
char *next_line(char **rest); // cuts the next line off a text, without its "\n"; null at the end
int parse_number(const char *text, int64_t *number); // whole text, decimal; 0 or -1

struct span {
  const char *text;
  uint32_t size;
};
// FNV-1a of `size` bytes, continued from `hash`, which begins with HASH.
#define HASH 0xcbf29ce484222325u
uint64_t hash_of(uint64_t hash, const char *data, size_t size);
int is_same(struct span a, struct span b);
