#include "base/files.h"

#include <sys/sysmacros.h>
#include <linux/major.h>
#include <string.h>
#include <sys/statfs.h>

int write_all(int fd, const char *data, size_t size) {
  while (size) {
    long n = sys_write(fd, data, size);
    if (n == -EINTR) continue;
    if (n < 0) return (int)n;
    data += n;
    size -= (size_t)n;
  }
  return 0;
}

long read_file(int dir, const char *path, char *data, size_t size) {
  CLOSING int fd = sys_open(dir, path, O_RDONLY, 0);
  if (fd < 0) return fd;
  size_t used = 0;
  long n = 0;
  while (used < size - 1 && (n = sys_read(fd, data + used, size - 1 - used)) > 0)
    used += (size_t)n;
  data[used] = 0;
  return n < 0 ? n : (long)used;
}

#define NULL_MINOR 3 // linux/major.h has the major number

int is_null_device(int fd, struct stat *st) {
  return sys_fstat(fd, st) == 0 && S_ISCHR(st->st_mode) && st->st_rdev == makedev(MEM_MAJOR, NULL_MINOR);
}

long filesystem_of(int fd) {
  struct statfs fs;
  long error = sys2(SYS_fstatfs, fd, &fs);
  return error < 0 ? error : (long)fs.f_type;
}

struct entry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[];
};

int list_directory(int fd, int (*each)(int dir, const char *name, unsigned char type, void *data), void *data) {
  _Alignas(8) char entries[4096];
  sys3(SYS_lseek, fd, 0, 0);
  for (;;) {
    long size = sys3(SYS_getdents64, fd, entries, sizeof entries);
    if (size <= 0) return (int)size;
    for (long at = 0; at < size; at += ((struct entry *)(entries + at))->length) {
      struct entry *entry = (struct entry *)(entries + at);
      if (!strcmp(entry->name, ".") || !strcmp(entry->name, "..")) continue;
      int error = each(fd, entry->name, entry->type, data);
      if (error) return error;
    }
  }
}
