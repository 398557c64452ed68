#include "base/files.h"

#include <dirent.h>
#include <sys/sysmacros.h>
#include <linux/major.h>
#include <string.h>
#include <sys/mman.h>
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

long read_all(int fd, char *data, size_t size) {
  size_t used = 0;
  long n = 0;
  while (used < size && ((n = sys_read(fd, data + used, size - used)) > 0 || n == -EINTR))
    used += n > 0 ? (size_t)n : 0;
  return n < 0 ? n : (long)used;
}

long read_file(int dir, const char *path, char *data, size_t size) {
  CLOSING int fd = sys_open(dir, path, O_RDONLY, 0);
  if (fd < 0) return fd;
  long n = read_all(fd, data, size - 1);
  data[n > 0 ? n : 0] = 0;
  return n;
}

struct span map_file(int fd, size_t most) {
  struct stat st;
  if (fd < 0 || sys_fstat(fd, &st) < 0 || st.st_size <= 0 || (size_t)st.st_size > most) return (struct span){0};
  const char *text = mmap(0, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  return text == MAP_FAILED ? (struct span){0} : (struct span){text, (uint32_t)st.st_size};
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

int list_directory(int fd, int (*each)(int dir, const char *name, unsigned char type, void *data), void *data) {
  _Alignas(8) char entries[4096];
  sys3(SYS_lseek, fd, 0, 0);
  for (;;) {
    long size = sys3(SYS_getdents64, fd, entries, sizeof entries);
    if (size <= 0) return (int)size;
    for (long at = 0; at < size; at += ((struct dirent *)(entries + at))->d_reclen) {
      struct dirent *entry = (struct dirent *)(entries + at);
      if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
      int error = each(fd, entry->d_name, entry->d_type, data);
      if (error) return error;
    }
  }
}

// The same for one line of the file, which ends at `end`. `uid` is decimal.
static int put_field(struct buffer *to, const char *line, const char *end, const struct buffer *uid, unsigned which) {
  const char *field[7] = {line};
  unsigned fields = 1;
  for (const char *at = line; at < end && fields < COUNT(field); at++)
    if (*at == ':') field[fields++] = at + 1;
  if (fields < COUNT(field) || (size_t)(field[3] - 1 - field[2]) != uid->used || memcmp(field[2], uid->data, uid->used))
    return 0;
  put_bytes(to, field[which], (size_t)(field[which + 1] - 1 - field[which]));
  return field[which + 1] - 1 > field[which];
}

// Reads a file of any length line by line, and ignores lines that are longer than the buffer.
int put_user(struct buffer *to, int passwd, int64_t uid, enum user_field which) {
  static char text[65536];
  size_t held = 0;
  long n;
  BUFFER(number, 24);
  put_number(&number, uid);
  while ((n = sys_read(passwd, text + held, sizeof text - held)) > 0) {
    const char *line = text, *end;
    held += (size_t)n;
    for (; (end = memchr(line, '\n', (size_t)(text + held - line))); line = end + 1)
      if (put_field(to, line, end, &number, which)) return 1;
    held -= (size_t)(line - text);
    memmove(text, line, held);
    if (held == sizeof text) held = 0;
  }
  return put_field(to, text, text + held, &number, which);
}
