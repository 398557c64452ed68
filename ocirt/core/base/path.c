// Paths inside the rootfs: always from the rootfs fd, by openat2, links kept inside it, magic links refused.
#include "base/path.h"

#include <string.h>

#include "base/text.h"

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)

int resolve(int root, const char *path, uint64_t flags) {
  int fd;
  // EAGAIN: a rename raced with a `..`; the kernel asks to try again.
  for (int tries = 0; (fd = sys_openat2(root, *path ? path : ".", flags, 0, IN_ROOT)) == -EAGAIN && tries < 128;
      tries++)
    ;
  return fd;
}

int open_child(int parent, const char *name) {
  return sys_openat2(parent, name, O_PATH | O_NOFOLLOW, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

int make_child(int parent, const char *name, enum make_kind kind, int mode) {
  if (kind == MAKE_DIRECTORY) return sys_mkdir(parent, name, mode);
  int fd = sys_open(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  sys_close(fd);
  return fd < 0 ? fd : 0;
}

// One walk from the root: makes what is missing. A link whose target is missing is replaced in `path` by that target
// (for the next walk): 1. Otherwise an fd or a negative errno.
static int walk(int root, char *path, size_t size, enum make_kind kind, int mode, int *fd) {
  int at = resolve(root, "/", O_PATH | O_DIRECTORY);
  char *name = path;
  while (at >= 0) {
    name += strspn(name, "/");
    if (!*name) break;
    char *end = name + strcspn(name, "/"), *rest = end + strspn(end, "/");
    char cut = *end;
    *end = 0;
    int next = resolve(root, path, O_PATH);
    if (next == -ENOENT) {
      int error = make_child(at, name, *rest ? MAKE_DIRECTORY : kind, *rest ? 0755 : mode);
      next = error && error != -EEXIST ? error : open_child(at, name);
      struct stat st;
      if (next >= 0 && sys_fstat(next, &st) == 0 && S_ISLNK(st.st_mode)) {
        BUFFER(whole, 8192);
        char link[4096];
        long n = sys4(SYS_readlinkat, next, "", link, sizeof link - 1);
        sys_close(next);
        sys_close(at);
        *end = cut;
        if (n < 0) return (int)n;
        link[n] = 0;
        if (*link != '/') {
          put_bytes(&whole, path, (size_t)(name - path));
          put(&whole, "/");
        }
        put(&whole, link);
        put(&whole, "/");
        put(&whole, rest);
        if (whole.full || whole.used >= size) return -ENAMETOOLONG;
        memcpy(path, whole.data, whole.used + 1);
        // A trailing slash would ask for a directory.
        while (!*rest && whole.used > 1 && path[whole.used - 1] == '/')
          path[--whole.used] = 0;
        return 1;
      }
    }
    sys_close(at);
    at = next;
    *end = cut;
    name = end;
  }
  *fd = at;
  return at < 0 ? at : 0;
}

// In a frame of its own: most often nothing is missing.
static __attribute__((noinline)) int make_all(int root, const char *path, enum make_kind kind, int mode) {
  char changed[8192];
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
  return sys_openat2(root, path, O_PATH | O_DIRECTORY, 0, IN_ROOT | RESOLVE_NO_SYMLINKS);
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
