// What hack/bench cannot do from Python.
//   meter FILE PROGRAM ARGUMENT...   runs PROGRAM, writes "user system peak status" (microseconds, KiB) of it to FILE. A peak
//                                    counts the memory of the process that called execve: this small program
//   meter --filter BPF load|read     loads the seccomp filter of BPF, or only reads it: the cost of the load alone
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int filter(const char *path, int load) {
  static struct sock_filter code[1 << 15];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long size = read(fd, code, sizeof code);
  if (fd < 0 || size <= 0) { dprintf(2, "meter: %s: %s\n", path, strerror(errno)); return 1; }
  struct sock_fprog program = {.len = (unsigned short)((unsigned long)size / sizeof *code), .filter = code};
  if (load && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))) {
    dprintf(2, "meter: seccomp: %s\n", strerror(errno));
    return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "--filter")) return filter(argv[2], !strcmp(argv[3], "load"));
  if (argc < 3) { dprintf(2, "usage: meter FILE PROGRAM ARGUMENT... | meter --filter BPF load|read\n"); return 2; }
  pid_t child;
  int status, error = posix_spawn(&child, argv[2], 0, 0, argv + 2, environ);
  struct rusage used;
  if (error) { dprintf(2, "meter: %s: %s\n", argv[2], strerror(error)); return 1; }
  if (wait4(child, &status, 0, &used) < 0) return 1;
  int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  dprintf(fd, "%lld %lld %ld %d\n", used.ru_utime.tv_sec * 1000000LL + used.ru_utime.tv_usec,
          used.ru_stime.tv_sec * 1000000LL + used.ru_stime.tv_usec, used.ru_maxrss, status);
  return 0;
}
