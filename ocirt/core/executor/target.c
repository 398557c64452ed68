// Targets inside the rootfs of a running section, made where they are missing.
#include "executor/target.h"

#include <string.h>

#include "base/memory.h"

void forget_directory(struct run *r) {
  sys_close(r->directory);
  r->directory = -1;
}

// Where the last component begins, or null: there is none that could be made.
static const char *last_of(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  return !*name || !strcmp(name, ".") || !strcmp(name, "..") ? 0 : name;
}

static int is_in_directory(const struct run *r, const char *path, const char *name) {
  return r->directory >= 0 && (size_t)(name - path) == r->directory_length &&
         !memcmp(path, r->directory_path, r->directory_length);
}

// A path with slashes or dots at its end, without them. It lives on.
static const char *without_end(const char *path) {
  size_t size = strlen(path);
  char *clean = more_memory(size + 2);
  if (!clean) return path;
  clean[clean_path(path, size, clean)] = 0;
  return clean;
}

int resolve_parent(struct run *r, const char *path, const char **name) {
  char parent[4096];
  if (!last_of(path)) path = without_end(path);
  if (!(*name = last_of(path))) return -EINVAL;
  if (is_in_directory(r, path, *name)) return r->directory;
  forget_directory(r);
  size_t length = (size_t)(*name - path);
  if (length >= sizeof parent) return -ENAMETOOLONG;
  memcpy(parent, path, length);
  parent[length > 1 ? length - 1 : length] = 0;
  r->directory_path = path;
  r->directory_length = length;
  return r->directory = resolve_or_make(r->rootfs, length ? parent : "/", MAKE_DIRECTORY, 0755);
}

int resolve_target(struct run *r, const char *path, enum make_kind kind) {
  if (!last_of(path)) path = without_end(path);
  const char *name = last_of(path);
  int known = name && is_in_directory(r, path, name), fd = known ? 0 : resolve(r->rootfs, path, O_PATH);
  if (!known && fd != -ENOENT) {
    forget_directory(r);
    return fd;
  }
  // A mount on what has just been made, or is no link, covers nothing but that: the directory stays what it is.
  int parent = name ? resolve_parent(r, path, &name) : -ENOENT;
  int error = parent < 0 ? parent : make_child(parent, name, kind, 0755);
  if (!error || error == -EEXIST) fd = sys_openat2(parent, name, O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (!error || (error == -EEXIST && fd >= 0)) return fd;
  forget_directory(r);
  return resolve_or_make(r->rootfs, path, kind, 0755);
}

int resolve_or_make_last(struct run *r, const char *path, enum make_kind kind, int mode) {
  const char *name;
  int parent = resolve_parent(r, path, &name);
  if (parent < 0) return parent;
  int fd = open_child(parent, name);
  if (fd == -ENOENT) {
    int error = make_child(parent, name, kind, mode);
    fd = error && error != -EEXIST ? error : open_child(parent, name);
  }
  return fd;
}
