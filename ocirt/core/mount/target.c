#include "mount/target.h"

#include <string.h>

#include "base/memory.h"

// Where the last component begins, or null if it is empty or a dot, so that nothing can be made of that name.
static const char *last_of(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  return !*name || !strcmp(name, ".") || !strcmp(name, "..") ? 0 : name;
}

// The path without slashes and dots at its end, in memory of the arena.
static const char *with_last(const char *path) {
  size_t size = strlen(path);
  char *clean = last_of(path) ? 0 : arena_alloc(size + 2);
  if (!clean) return path;
  clean[clean_path(path, size, clean)] = 0;
  return clean;
}

int resolve_parent(struct run *r, const char *path, const char **name) {
  char parent[PATH_SIZE];
  path = with_last(path);
  if (!(*name = last_of(path))) return -EINVAL;
  size_t length = (size_t)(*name - path);
  if (length >= sizeof parent) return -ENAMETOOLONG;
  memcpy(parent, path, length);
  parent[length > 1 ? length - 1 : length] = 0;
  return resolve_or_make(r->rootfs, length ? parent : "/", MAKE_DIRECTORY, 0755);
}

int resolve_target(struct run *r, const char *path, enum make_kind kind) {
  return resolve_or_make(r->rootfs, with_last(path), kind, 0755);
}

int resolve_or_make_last(struct run *r, const char *path, enum make_kind kind) {
  const char *name;
  CLOSING int parent = resolve_parent(r, path, &name);
  if (parent < 0) return parent;
  int fd = open_child(parent, name);
  if (fd != -ENOENT) return fd;
  int error = make_child(parent, name, kind, 0755);
  return error && error != -EEXIST ? error : open_child(parent, name);
}
