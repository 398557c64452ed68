// Files and directories of cgroups, by path from one descriptor of /sys/fs/cgroup.
#include "base/cgroupfs.h"

#include <string.h>

#include "base/files.h"

#define MARK "trusted.ocirt"

#define MARK_OF_USER "user.ocirt"

// A cgroup, or a file in it, by one path: a hierarchy is a mount of the host's, and there are no links in it. 0, or
// -EXDEV: it leads out of the hierarchy, as the caller's own cgroup does where that lies above its cgroup namespace.
int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file) {
  put(to, hierarchy);
  for (const char *name = path; *(name += strspn(name, "/"));) {
    size_t length = strcspn(name, "/");
    if (length == 2 && name[0] == '.' && name[1] == '.') return -EXDEV;
    put(to, "/");
    put_bytes(to, name, length);
    name += length;
  }
  if (*file) {
    put(to, "/");
    put(to, file);
  }
  return to->full ? -ENAMETOOLONG : 0;
}

int open_file(const char *hierarchy, const char *path, const char *file, int flags) {
  BUFFER(full, 4096);
  int error = put_cgroup(&full, hierarchy, path, file);
  return error ? error : open_at(full.data, flags);
}

long read_cgroup(const char *hierarchy, const char *path, const char *file, char *text, size_t size) {
  BUFFER(full, 4096);
  *text = 0;
  int error = put_cgroup(&full, hierarchy, path, file);
  return error ? error : read_at(full.data, text, size);
}

int open_cgroup(const char *hierarchy, const char *path, int flags) {
  return open_file(hierarchy, path, "", flags | O_DIRECTORY);
}

int write_control(int dir, const char *file, const char *text) {
  CLOSING int fd = sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
  long n = fd < 0 ? fd : sys_write(fd, text, strlen(text));
  return n < 0 ? (int)n : 0;
}

// Whichever container leaves a shared parent last removes it, if one of us made it. Without privileges the mark is one
// that any owner of the directory can make.
void mark(const char *path) {
  if (sys5(SYS_setxattr, path, MARK, "1", 1, 0) == -EPERM) sys5(SYS_setxattr, path, MARK_OF_USER, "1", 1, 0);
}

int is_marked(const char *path) {
  char names[1024];
  struct stat st;
  long size = sys3(SYS_listxattr, path, names, sizeof names);
  for (long at = 0; at < size; at += (long)strlen(names + at) + 1) {
    if (!strcmp(names + at, MARK)) return 1;
    if (!strcmp(names + at, MARK_OF_USER))
      return sys_stat(AT_FDCWD, path, &st, 0) == 0 && st.st_uid == (uint32_t)sys0(SYS_geteuid);
  }
  return 0;
}

#define TOP "/sys/fs/cgroup"

static int top = -1, asked;

int beneath_top(const char **path) {
  size_t length = strlen(TOP);
  if (strncmp(*path, TOP "/", length + 1)) return AT_FDCWD;
  if (!asked++) return AT_FDCWD; // for one path alone it would be dearer
  if (top < 0 && (top = sys_open(AT_FDCWD, TOP, O_PATH | O_DIRECTORY, 0)) < 0) return AT_FDCWD;
  length += strspn(*path + length, "/");
  if (!(*path)[length]) return AT_FDCWD;
  *path += length;
  return top;
}

void leave_top(void) {
  sys_close(top);
  top = -1;
  asked = 0;
}

int open_at(const char *path, int flags) {
  int dir = beneath_top(&path);
  return sys_open(dir, path, flags, 0);
}

long read_at(const char *path, char *text, size_t size) {
  int dir = beneath_top(&path);
  return read_file(dir, path, text, size);
}

int stat_at(const char *path, struct stat *st) {
  int dir = beneath_top(&path);
  return sys_stat(dir, path, st, AT_SYMLINK_NOFOLLOW);
}

int mkdir_at(const char *path) {
  int dir = beneath_top(&path);
  return sys_mkdir(dir, path, 0755);
}

int rmdir_at(const char *path) {
  int dir = beneath_top(&path);
  return sys_unlink(dir, path, AT_REMOVEDIR);
}
