// tmpcopyup: the content of a directory copied into a new file system, before that is attached over it.
#include "mount/copy.h"

#include "base/files.h"
#include "base/text.h"

#define DEPTH 400 // of directories: the stack has room for no more
#define CHUNK (1 << 20) // bytes that are copied at once

// Where a directory's entries go.
struct target {
  int fd, depth;
};

static int copy_directory(int from, int to, int depth);

static int copy_file(int from, const char *name, int to) {
  struct stat st;
  // A pipe or a device may have taken the file's place meanwhile. It must neither block the open nor be read.
  CLOSING int source = sys_openat2(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, RESOLVE_BENEATH);
  if (source < 0) return source;
  if (sys_fstat(source, &st) < 0 || !S_ISREG(st.st_mode)) return -ESTALE;
  CLOSING int target = sys_open(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  long n = target;
  while (target >= 0 && (n = sys4(SYS_sendfile, target, source, 0, CHUNK)) > 0)
    ;
  if (n >= 0) sys3(SYS_fchown, target, st.st_uid, st.st_gid);
  if (n >= 0) n = sys2(SYS_fchmod, target, st.st_mode & ~S_IFMT);
  return n < 0 ? (int)n : 0;
}

static int copy_subdirectory(int from, const char *name, const struct target *to, unsigned mode) {
  CLOSING int source = sys_openat2(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH);
  if (source < 0) return source;
  int error = sys_mkdir(to->fd, name, 0700);
  CLOSING int target = error < 0 ? error : sys_open(to->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  error = target < 0 ? target : copy_directory(source, target, to->depth + 1);
  return error ? error : (int)sys2(SYS_fchmod, target, mode & ~S_IFMT);
}

static int copy_link(int from, const char *name, int to) {
  char link[PATH_SIZE];
  long n = sys4(SYS_readlinkat, from, name, link, sizeof link - 1);
  if (n < 0) return (int)n;
  link[n] = 0;
  return (int)sys3(SYS_symlinkat, link, to, name);
}

static int copy_entry(int from, const char *name, unsigned char type, void *data) {
  const struct target *to = data;
  struct stat st;
  int error = sys_stat(from, name, &st, AT_SYMLINK_NOFOLLOW);
  if (error < 0) return error;
  if (S_ISDIR(st.st_mode)) return copy_subdirectory(from, name, to, st.st_mode);
  if (S_ISREG(st.st_mode)) return copy_file(from, name, to->fd);
  error = S_ISLNK(st.st_mode) ? copy_link(from, name, to->fd)
                              : (int)sys4(SYS_mknodat, to->fd, name, st.st_mode, st.st_rdev);
  if (!error) sys5(SYS_fchownat, to->fd, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
  return error;
}

static int copy_directory(int from, int to, int depth) {
  struct stat st;
  int error = sys_fstat(from, &st);
  if (error < 0) return error;
  if (depth == DEPTH) return -ELOOP;
  sys3(SYS_fchown, to, st.st_uid, st.st_gid);
  struct target target = {to, depth};
  return list_directory(from, copy_entry, &target);
}

int copy_tree(int from, int to) {
  CLOSING int target = sys_openat2(to, ".", O_RDONLY | O_DIRECTORY, 0);
  return target < 0 ? target : copy_directory(from, target, 0);
}
