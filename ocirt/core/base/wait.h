// Waiting for descriptors and children.
#pragma once
#include "base/sys.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

int wait_exit(int pidfd, int *status); // waitid of a child: wait status

int wait_usage(
    int pidfd, int *status, struct rusage *usage); // the same, and what it and all that it has reaped have used

long sys_ppoll(struct pollfd *fds, unsigned count, int64_t milliseconds); // -1: without end

// poll(2) of one descriptor; milliseconds, -1 without end. Interrupted waits go on.
int sys_poll(int fd, short events, int milliseconds);
static inline int64_t milliseconds(void) {
  struct timespec time;
  sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}
