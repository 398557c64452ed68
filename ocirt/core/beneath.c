// Paths beneath /sys/fs/cgroup, from a descriptor of it on: see beneath_top in core.h.
#include "cgroup.h"

#include <string.h>

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
