#include "base/cgroupfs.h"

#include <string.h>

#include "base/files.h"

#define TOP "/sys/fs/cgroup"

// Only root may set a trusted attribute, so an unprivileged runtime marks with one that any owner can set.
#define MARK "trusted.ocirt"
#define MARK_OF_USER "user.ocirt"

int beneath_cgroupfs(int *top, const char **path) {
  const char *rest = *path + strlen(TOP);
  if (strncmp(*path, TOP, strlen(TOP)) || (*rest && *rest != '/')) return AT_FDCWD;
  if (*top < 0 && (*top = sys_open(AT_FDCWD, TOP, O_PATH | O_DIRECTORY, 0)) < 0) return AT_FDCWD;
  rest += strspn(rest, "/");
  *path = *rest ? rest : ".";
  return *top;
}

int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file) {
  put(to, hierarchy);
  for (const char *name = path; *(name += strspn(name, "/"));) {
    size_t length = strcspn(name, "/");
    if (length == 2 && name[0] == '.' && name[1] == '.') return -EXDEV;
    put(to, "/");
    put_bytes(to, name, length);
    name += length;
  }
  if (*file) format(to, "/%s", file);
  return to->full ? -ENAMETOOLONG : 0;
}

long read_cgroup(const char *hierarchy, const char *path, const char *file, char *text, size_t size) {
  BUFFER(full, PATH_SIZE);
  *text = 0;
  int error = put_cgroup(&full, hierarchy, path, file);
  return error ? error : read_file(AT_FDCWD, full.data, text, size);
}

int64_t number_in_cgroup(const char *hierarchy, const char *path, const char *file, const char *key) {
  char text[1024];
  if (!*file || read_cgroup(hierarchy, path, file, text, sizeof text) <= 0) return 0;
  size_t length = strlen(key);
  int64_t number;
  for (char *rest = text, *line; (line = next_line(&rest));)
    if (!strncmp(line, key, length) && !parse_number(line + length + (line[length] == ' '), &number)) return number;
  return 0;
}

int write_control(int dir, const char *file, const char *text) {
  CLOSING int fd = sys_openat2(dir, file, O_WRONLY, BENEATH);
  long n = fd < 0 ? fd : sys_write(fd, text, strlen(text));
  return n < 0 ? (int)n : 0;
}

void mark_as_made(const char *path) {
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
