// Foreground `run` and `exec`, and `create --status-fd`: one poll(2) loop until the process ends.
#pragma once
#include "state/container.h"

// The process of a foreground verb, a signalfd of the signals for it, the master of its terminal (-1: the runtime has
// made it no terminal), the socket to an init whose program comes over --status-fd (otherwise 0), and whether another
// container follows.
struct foreground_process {
  struct container *container;
  int pid, pidfd, signals, master, peer, renews;
  uint64_t start_time;
};

// Stays until the process ends: its exit status. If the reader of --status-fd goes first: -1, after sending the process
// SIGKILL.
int run_in_foreground(struct foreground_process *about);
