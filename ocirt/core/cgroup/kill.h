// Signals to all processes of a cgroup and of those below it.
#pragma once
#include "cgroup/tree.h"

// Kills all processes in the cgroup that is open as `dir` and below it, and waits for their end: 0 or the failure. The
// state is not locked while a delete waits.
int end_processes(const struct walk *cgroup, int dir);
