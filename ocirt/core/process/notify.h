// Passing the container's readiness on (sd_notify(3)).
#pragma once
#include "base/sys.h"
#include "state/container.h"

// READY=1 on its way from the container to the caller's NOTIFY_SOCKET, a piece at a time and none that blocks. `fd` and
// `events` are what to wait for by poll(2), `until` (0: never) is when it has taken too long.
struct readiness {
  int fd;
  short events;
  int64_t until;
  int sent, host, barrier;
  size_t size;
  char text[4096];
};
void readiness_begin(struct readiness *n, const struct container *c);

// After poll(2) has told of `fd`, or `until` has passed: 1 when there is no more to do, 0, or a negative errno.
int readiness_go_on(struct readiness *n, const struct container *c, int late);
