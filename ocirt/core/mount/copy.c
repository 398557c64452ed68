// tmpcopyup: the content of a directory copied into a new file system, before that is attached over it.
#include "mount/copy.h"

#include "base/files.h"

static int copy_entry(int from, const char *name, unsigned char type, void *to);

#define DEPTH 400 // of directories: no more fit on the stack

static int copy_file(int from, const char *name, int to) {
  struct stat st;
  // A pipe or a device may have taken the file's place meanwhile: neither waited for nor read.
  int source = sys_openat2(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0, RESOLVE_BENEATH);
  if (source < 0) return source;
  if (sys_fstat(source, &st) < 0 || !S_ISREG(st.st_mode)) {
    sys_close(source);
    return -ESTALE;
  }
  int target = sys_open(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  long n = target;
  while (target >= 0 && (n = sys4(SYS_sendfile, target, source, 0, 1 << 20)) > 0)
    ;
  if (n >= 0) sys3(SYS_fchown, target, st.st_uid, st.st_gid);
  if (n >= 0) n = sys2(SYS_fchmod, target, st.st_mode & 07777);
  sys_close(source);
  sys_close(target);
  return n < 0 ? (int)n : 0;
}

// The permissions of `to` itself are the mount's: by its option mode, or those of the directory that it covers.
int copy_tree(int from, int to) {
  static int depth;
  struct stat st;
  int error = sys_fstat(from, &st);
  if (error < 0) return error;
  if (depth == DEPTH) return -ELOOP;
  int target = sys_openat2(to, ".", O_RDONLY | O_DIRECTORY, 0, 0);
  if (target < 0) return target;
  sys3(SYS_fchown, target, st.st_uid, st.st_gid);
  depth++;
  error = list_directory(from, copy_entry, &target);
  depth--;
  sys_close(target);
  return error;
}

static int copy_entry(int from, const char *name, unsigned char type, void *data) {
  int to = *(int *)data, error;
  struct stat st;
  (void)type;
  if ((error = sys_stat(from, name, &st, AT_SYMLINK_NOFOLLOW)) < 0) return error;
  if (S_ISDIR(st.st_mode)) {
    int source = sys_openat2(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
    if (source < 0) return source;
    int target =
        (error = sys_mkdir(to, name, 0700)) < 0 ? error : sys_open(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    error = target < 0 ? target : copy_tree(source, target);
    if (!error) error = (int)sys2(SYS_fchmod, target, st.st_mode & 07777);
    sys_close(source);
    sys_close(target);
    return error;
  }
  if (S_ISREG(st.st_mode)) return copy_file(from, name, to);
  if (S_ISLNK(st.st_mode)) {
    char link[4096];
    long n = sys4(SYS_readlinkat, from, name, link, sizeof link - 1);
    if (n < 0) return (int)n;
    link[n] = 0;
    error = (int)sys3(SYS_symlinkat, link, to, name);
  } else {
    error = (int)sys4(SYS_mknodat, to, name, st.st_mode, st.st_rdev);
  }
  if (!error) sys5(SYS_fchownat, to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
  return error;
}
