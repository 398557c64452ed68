// Strings, numbers, dates and errors, written into buffers without stdio.
#pragma once
#include "base/sys.h"
#include <stdarg.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PATH_SIZE 4096 // of a path with its NUL, for the kernel

// A buffer that never overflows: what does not fit is cut, and `full` says so.
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

// Sums and products of sizes. What does not fit is the largest size there is, for which there is no memory.
static inline size_t plus(size_t a, size_t b) {
  size_t sum;
  return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

static inline size_t times(size_t a, size_t b) {
  size_t product;
  return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

// A size after which anything is aligned.
static inline size_t align16(size_t size) {
  return plus(size, 15) & ~(size_t)15;
}
void put(struct buffer *to, const char *text);
void put_bytes(struct buffer *to, const char *text, size_t size);
void put_number(struct buffer *to, int64_t number);
void put_padded(struct buffer *to, int64_t number, int digits);
void put_json(struct buffer *to, const char *text); // quoted and escaped; U+FFFD for what is no UTF-8
size_t utf8_character(const char *at, const char *end); // of the character at `at`: 0 where it is none
void put_layer(struct buffer *to, const char *path); // one of several paths separated by colons: escaped
void put_time(struct buffer *to, int64_t seconds, int64_t nanoseconds); // RFC 3339, UTC; nanoseconds < 0: none
void put_error(struct buffer *to, int error); // as Go writes it: "no such file or directory"

// Appends text with %s (text), %d (int), %l (int64_t), %j (text as JSON), %q (the same, but what is no UTF-8 stands in
// it as it is) and %e (int: an error number, as put_error writes it). vformat returns the first error number among the
// arguments, 0 without one.
void format(struct buffer *to, const char *pattern, ...);
int vformat(struct buffer *to, const char *pattern, va_list arguments);

// The path without ".", ".." and needless slashes, by its text alone, as clean() of model/text.py: its size. `out` has
// one byte more than `size`, and no NUL is put.
size_t clean_path(const char *path, size_t size, char *out);
int parse_number(const char *text, int64_t *number); // whole text, decimal; 0 or -1

struct span {
  const char *text;
  uint32_t size;
};
int is_named(struct span name, const char *text);
int is_same(struct span a, struct span b);
