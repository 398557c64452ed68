#pragma once
#include "base/sys.h"
#include "state/container.h"

// What a foreground verb stays with: a process, the signals that came for it, the master of its terminal (-1: it has
// none of ours). subreaper: what is orphaned to us is reaped.
struct relayed {
  struct container *container;
  int pid, pidfd, signals, master, subreaper;
  uint64_t start_time;
};

// Until the process ends: its exit status; or until nobody reads at --status-fd any more: -1, and the process has been
// sent SIGKILL.
int relay(const struct relayed *about);
