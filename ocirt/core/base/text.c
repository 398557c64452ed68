// Strings, numbers and dates without stdio: usable after clone3.
#include "base/text.h"

#include <string.h>

#include "steps.h"

void put_bytes(struct buffer *to, const char *text, size_t size) {
  size_t room = to->size - 1 - to->used;
  if (size > room) {
    size = room;
    to->full = 1;
  }
  memcpy(to->data + to->used, text, size);
  to->used += size;
  to->data[to->used] = 0;
}

void put(struct buffer *to, const char *text) { put_bytes(to, text, strlen(text)); }

static void put_padded(struct buffer *to, int64_t number, int digits) {
  char text[24], *at = text + sizeof text;
  uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
  do {
    *--at = (char)('0' + rest % 10);
    rest /= 10;
  } while (rest || text + sizeof text - at < digits);
  if (number < 0) *--at = '-';
  put_bytes(to, at, (size_t)(text + sizeof text - at));
}

void put_number(struct buffer *to, int64_t number) { put_padded(to, number, 1); }

size_t clean_path(const char *path, size_t size, char *out) {
  size_t used = 0;
  for (size_t at = 0, end; at < size; at = end + 1) {
    for (end = at; end < size && path[end] != '/'; end++)
      ;
    size_t length = end - at;
    if (length == 2 && !memcmp(path + at, "..", 2)) {
      while (used && out[--used] != '/')
        ;
    } else if (length && !(length == 1 && path[at] == '.')) {
      out[used++] = '/';
      memcpy(out + used, path + at, length);
      used += length;
    }
  }
  if (!used) out[used++] = '/';
  return used;
}

size_t utf8_character(const char *from, const char *to) {
  const unsigned char *at = (const unsigned char *)from, *end = (const unsigned char *)to;
  size_t size = *at < 0x80                  ? 1
                : *at >= 0xc2 && *at < 0xe0 ? 2
                : *at >= 0xe0 && *at < 0xf0 ? 3
                : *at >= 0xf0 && *at < 0xf5 ? 4
                                            : 0;
  if (!size || (size_t)(end - at) < size) return 0;
  for (size_t i = 1; i < size; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  if (*at == 0xe0 && at[1] < 0xa0) return 0;
  if (*at == 0xed && at[1] > 0x9f) return 0; // a surrogate
  if (*at == 0xf0 && at[1] < 0x90) return 0;
  if (*at == 0xf4 && at[1] > 0x8f) return 0;
  return size;
}

// Writes `other` for a byte that is not UTF-8; if `other` is null, writes the byte itself.
static void put_string(struct buffer *to, const char *text, const char *other) {
  static const char hex[] = "0123456789abcdef", escaped[] = "\"\\\n\t\r", letters[] = "\"\\ntr";
  const char *end = text + strlen(text), *found;
  put(to, "\"");
  for (size_t length; text < end; text += length ? length : 1) {
    unsigned char byte = (unsigned char)*text;
    length = utf8_character(text, end);
    if ((found = strchr(escaped, byte)))
      put_bytes(to, (const char[]){'\\', letters[found - escaped]}, 2);
    else if (byte < 32)
      put_bytes(to, (const char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
    else if (!length && other)
      put(to, other);
    else
      put_bytes(to, text, length ? length : 1);
  }
  put(to, "\"");
}

void put_layer(struct buffer *to, const char *path) {
  for (; *path; path++) {
    if (*path == ':' || *path == '\\') put(to, "\\");
    put_bytes(to, path, 1);
  }
}

void put_time(struct buffer *to, int64_t seconds, int64_t nanoseconds) {
  // Days to a date of the proleptic Gregorian calendar, counted in 400-year eras from 0000-03-01.
  int64_t day = seconds / 86400 + 719468, second = seconds % 86400;
  int64_t era = day / 146097, of_era = day % 146097;
  int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
  int64_t date = of_year - (153 * month + 2) / 5 + 1;
  month = month < 10 ? month + 3 : month - 9;
  put_padded(to, year + era * 400 + (month <= 2), 4);
  const struct {
    const char *before;
    int64_t number;
  } rest[] = {{"-", month}, {"-", date}, {"T", second / 3600}, {":", second / 60 % 60}, {":", second % 60}};
  for (unsigned i = 0; i < COUNT(rest); i++) {
    put(to, rest[i].before);
    put_padded(to, rest[i].number, 2);
  }
  if (nanoseconds > 0) {
    // Go's RFC3339Nano has no zeros at the end.
    int digits = 9;
    for (; nanoseconds % 10 == 0; nanoseconds /= 10)
      digits--;
    put(to, ".");
    put_padded(to, nanoseconds, digits);
  }
  put(to, "Z");
}

void put_error(struct buffer *to, int error) {
  static const char *const words[] = {ERROR_WORDS};
  unsigned number = (unsigned)(error < 0 ? -error : error);
  if (number < COUNT(words) && words[number])
    put(to, words[number]);
  else
    format(to, "error %d", (int)number);
}

int vformat(struct buffer *to, const char *pattern, va_list arguments) {
  int first_error = 0;
  for (const char *at = pattern; *at; at++) {
    size_t plain = strcspn(at, "%");
    put_bytes(to, at, plain);
    at += plain;
    if (!*at) break;
    switch (*++at) {
    case 's':
      put(to, va_arg(arguments, const char *));
      break;
    case 'j':
      put_string(to, va_arg(arguments, const char *), "\\ufffd");
      break;
    case 'q':
      put_string(to, va_arg(arguments, const char *), 0);
      break;
    case 'd':
      put_number(to, va_arg(arguments, int));
      break;
    case 'l':
      put_number(to, va_arg(arguments, int64_t));
      break;
    case 'e': {
      int error = va_arg(arguments, int);
      put_error(to, error);
      if (!first_error) first_error = error;
      break;
    }
    default:
      put_bytes(to, at, 1);
    }
  }
  return first_error;
}

void format(struct buffer *to, const char *pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  vformat(to, pattern, arguments);
  va_end(arguments);
}

char *next_line(char **rest) {
  char *line = *rest;
  if (!*line) return 0;
  *rest += strcspn(line, "\n");
  if (**rest) *(*rest)++ = 0;
  return line;
}

int parse_number(const char *text, int64_t *number) {
  int negative = *text == '-';
  uint64_t value = 0;
  text += negative;
  if (!*text) return -1;
  for (; *text; text++) {
    if (*text < '0' || *text > '9' || value > (INT64_MAX - 9) / 10) return -1;
    value = value * 10 + (uint64_t)(*text - '0');
  }
  *number = negative ? -(int64_t)value : (int64_t)value;
  return 0;
}

int is_same(struct span a, struct span b) { return a.size == b.size && !memcmp(a.text, b.text, a.size); }

#define HASH_PRIME 0x100000001b3u

uint64_t hash_of(uint64_t hash, const char *data, size_t size) {
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ (unsigned char)data[i]) * HASH_PRIME;
  return hash;
}
