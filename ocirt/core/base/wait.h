// Waiting for descriptors and children.
#pragma once
#include "base/sys.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

// Makes a child by clone3(2) with `flags`, in the cgroup of that descriptor or, if it is -1, in the caller's: 0 in the
// child; its pid and, in `pidfd`, a descriptor of it in the caller; or a negative errno.
long clone_process(uint64_t flags, int *pidfd, int cgroup);

// waitid(2) of a child: 0 with its wait status (null: not wanted), or a negative errno. `usage` includes all that the
// child has reaped.
int wait_exit(int pidfd, int *status);
int wait_usage(int pidfd, int *status, struct rusage *usage);

// poll(2); -1 milliseconds are no limit. The last two go on after an interrupted wait, and begin its time anew.
long sys_ppoll(struct pollfd *fds, unsigned count, int64_t milliseconds);
long poll_again(struct pollfd *fds, unsigned count, int64_t milliseconds);
int sys_poll(int fd, short events, int milliseconds); // one descriptor
static inline int is_readable(int fd) { return sys_poll(fd, POLLIN, 0) == 1; } // a pidfd is once the process has ended
static inline void pause_for(long microseconds) { // less than a second
  struct timespec time = {0, microseconds * 1000};
  sys2(SYS_nanosleep, &time, 0);
}
// Not by a raw call: where it can, libc reads the clock without one.
static inline int64_t nanoseconds(clockid_t clock) {
  struct timespec time = {0};
  clock_gettime(clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}
static inline int64_t milliseconds(void) { return nanoseconds(CLOCK_MONOTONIC) / 1000000; }
