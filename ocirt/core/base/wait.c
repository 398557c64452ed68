#include "base/wait.h"

#include <linux/sched.h>

long sys_ppoll(struct pollfd *fds, unsigned count, int64_t timeout) {
  struct timespec limit = {timeout / 1000, timeout % 1000 * 1000000};
  return sys5(SYS_ppoll, fds, count, timeout < 0 ? 0 : &limit, 0, 0);
}

long poll_again(struct pollfd *fds, unsigned count, int64_t timeout) {
  long n;
  do
    n = sys_ppoll(fds, count, timeout);
  while (n == -EINTR);
  return n;
}

int sys_poll(int fd, short events, int timeout) {
  struct pollfd one = {.fd = fd, .events = events};
  return (int)poll_again(&one, 1, timeout);
}

long clone_process(uint64_t flags, int *pidfd, int cgroup) {
  struct clone_args args = {
      .flags = flags | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
      .pidfd = (uint64_t)(uintptr_t)pidfd,
      .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD, // CLONE_PARENT takes the parent's own
      .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
  };
  return sys2(SYS_clone3, &args, sizeof args);
}

int wait_exit(int pidfd, int *status) { return wait_usage(pidfd, status, 0); }

int wait_usage(int pidfd, int *status, struct rusage *usage) {
  siginfo_t info = {0};
  long error;
  do
    error = sys5(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, usage);
  while (error == -EINTR);
  if (error < 0) return (int)error;
  if (status) *status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status & 0x7f;
  return 0;
}
