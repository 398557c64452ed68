#include "executor/process_file.h"

#include <string.h>

int open_process_file(int pid, const char *file, int flags) {
  BUFFER(path, 64);
  if (pid)
    format(&path, "/proc/%d/%s", pid, file);
  else
    format(&path, "/proc/self/%s", file);
  return sys_open(AT_FDCWD, path.data, flags, 0);
}

int write_process_file(struct run *r, int pid, const char *file, const char *value) {
  CLOSING int fd = open_process_file(pid, file, O_WRONLY);
  if (fd < 0) return failing(r, "open", fd);
  return called(r, "write", sys_write(fd, value, strlen(value)));
}
