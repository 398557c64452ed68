// Signals all processes in a cgroup and below it.
#pragma once
#include "cgroup/tree.h"

// Kills all processes in the cgroup `dir` and below it, and waits for their end: 0 or the failure. A delete unlocks the
// state while it waits.
int end_processes(const struct walk *cgroup, int dir);
