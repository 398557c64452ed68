// The scanner and the binder for tests in one process: built as a shared library, see tests/unit/core.py.
#include "cache.h"
#include "scan.h"

#include <string.h>
#include <sys/mman.h>

// The structure of a config into `out`: its size, -1 where the scanner refuses it.
long test_scan(const char *text, size_t size, char *out, size_t capacity) {
  struct scan s;
  if (!scan(&s, text, size) || s.structure.used > capacity) return -1;
  memcpy(out, s.structure.data, s.structure.used);
  munmap(s.structure.data, 1);  // the rest goes with the process
  return (long)s.structure.used;
}

// What `create` of the id would find in the cache directory: the program's size, or -1 and where one would be kept.
long test_find(const char *directory, const char *id, const char *bundle, const char *config, size_t size, char *out,
               size_t capacity, char *path, char *key) {
  static char variable[4096];
  static char *environment[] = {variable, 0};
  static struct place place;
  struct buffer cache = {variable, sizeof variable, 0, 0};
  struct request q = {.verb = VERB_CREATE, .arguments = {id}, .n_arguments = 1, .environment = environment};
  struct program program = {0};
  put(&cache, "OCIRT_CACHE="); put(&cache, directory);
  q.flags[FLAG_BUNDLE] = bundle;
  q.flags[FLAG_ROOT] = "/run/ocirt";
  if (find_program(&q, config, size, &program, &place)) {
    if (program.size > capacity) return -2;
    memcpy(out, program.base, program.size);
    return (long)program.size;
  }
  strcpy(path, place.path);
  strcpy(key, place.key);
  return -1;
}
