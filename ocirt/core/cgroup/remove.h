// Removal of a container's cgroup, of those below it, and of the parents that ocirt made.
#pragma once
#include "base/sys.h"
#include "executor/run.h"

// Removes what is left of the cgroup, if it is the one that is open as `dir` and empty: 0 or negative errno.
int remove_left(struct run *r, const char *hierarchy, const char *path, int dir);
