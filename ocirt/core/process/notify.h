// Passing the container's readiness on (sd_notify(3)).
#pragma once
#include "state/container.h"

// Relays READY=1 from the container to the caller's NOTIFY_SOCKET in steps that never block. Wait by poll(2) for
// `events` of `fd`, but no longer than `until` (0: no limit).
struct readiness {
  int fd;
  short events;
  int64_t until;
  int sent, host, barrier;
  size_t size;
  char text[4096];
};
void readiness_begin(struct readiness *n, const struct container *c);

// Call when poll(2) reports `fd`, or with `late` when `until` has passed: 1 if all is done, 0, or a negative errno.
int readiness_go_on(struct readiness *n, const struct container *c, int late);
