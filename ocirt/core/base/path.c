// Paths inside the rootfs: openat2 resolves each from the rootfs fd, keeps links inside it and refuses magic links.
#include "base/path.h"

#include <string.h>

#include "base/text.h"

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

int resolve(int root, const char *path, uint64_t flags) {
  int fd;
  // EAGAIN: a rename raced with a `..`; the kernel asks to try again.
  for (int tries = 0; (fd = sys_openat2(root, *path ? path : ".", flags, IN_ROOT)) == -EAGAIN && tries < 128; tries++)
    ;
  return fd;
}

int open_child(int parent, const char *name) {
  return sys_openat2(parent, name, O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int make_child(int parent, const char *name, enum make_kind kind, int mode) {
  if (kind == MAKE_DIRECTORY) return sys_mkdir(parent, name, mode);
  int fd = sys_open(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  sys_close(fd);
  return fd < 0 ? fd : 0;
}

// Replaces in `path` a link whose target is missing by that target: 1, or a negative errno. The link's name begins at
// `name`, and `rest` comes after it.
static int follow(int link, char *path, size_t size, const char *name, const char *rest) {
  BUFFER(whole, 2 * PATH_SIZE);
  char target[PATH_SIZE];
  long n = sys4(SYS_readlinkat, link, "", target, sizeof target - 1);
  if (n < 0) return (int)n;
  target[n] = 0;
  if (*target != '/') {
    put_bytes(&whole, path, (size_t)(name - path));
    put(&whole, "/");
  }
  format(&whole, "%s/%s", target, rest);
  if (whole.full || whole.used >= size) return -ENAMETOOLONG;
  // A trailing slash would ask for a directory.
  while (!*rest && whole.used > 1 && whole.data[whole.used - 1] == '/')
    whole.data[--whole.used] = 0;
  memcpy(path, whole.data, whole.used + 1);
  return 1;
}

static int is_link(int fd) {
  struct stat st;
  return fd >= 0 && sys_fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

// Walks once from the root, and makes what is missing. If a link's target is missing, `path` is changed for the next
// walk: 1. Otherwise 0 with *fd, or a negative errno.
static int walk(int root, char *path, size_t size, enum make_kind kind, int mode, int *fd) {
  CLOSING int at = resolve(root, "/", O_PATH | O_DIRECTORY);
  for (char *name = path; at >= 0 && *(name += strspn(name, "/"));) {
    char *end = name + strcspn(name, "/"), *rest = end + strspn(end, "/"), cut = *end;
    *end = 0;
    CLOSING int next = resolve(root, path, O_PATH);
    int missing = next == -ENOENT;
    if (missing) {
      int error = make_child(at, name, *rest ? MAKE_DIRECTORY : kind, *rest ? 0755 : mode);
      next = error && error != -EEXIST ? error : open_child(at, name);
    }
    *end = cut;
    if (missing && is_link(next)) return follow(next, path, size, name, rest);
    sys_close(at);
    at = release(&next);
    name = end;
  }
  *fd = release(&at);
  return *fd < 0 ? *fd : 0;
}

// A function of its own, because its frame is large and usually nothing is missing.
static __attribute__((noinline)) int make_all(int root, const char *path, enum make_kind kind, int mode) {
  char changed[2 * PATH_SIZE];
  int fd = -ENOENT;
  size_t length = strlen(path);
  if (length >= sizeof changed) return -ENAMETOOLONG;
  memcpy(changed, path, length + 1);
  for (int links = 0; links < 40; links++) {
    int result = walk(root, changed, sizeof changed, kind, mode, &fd);
    if (result != 1) return result < 0 ? result : fd;
  }
  return -ELOOP;
}

static int resolve_plain(int root, const char *path) {
  return sys_openat2(root, path, O_PATH | O_DIRECTORY, IN_ROOT | RESOLVE_NO_SYMLINKS);
}

int resolve_or_make_plain(int root, const char *path) {
  int fd = resolve_plain(root, path);
  if (fd != -ENOENT) return fd;
  fd = resolve_or_make(root, path, MAKE_DIRECTORY, 0755);
  sys_close(fd);
  return fd < 0 ? fd : resolve_plain(root, path);
}

int resolve_or_make(int root, const char *path, enum make_kind kind, int mode) {
  int fd = resolve(root, path, O_PATH);
  return fd == -ENOENT ? make_all(root, path, kind, mode) : fd;
}
