// Removes a container's cgroup, those below it, and the parents that ocirt made.
#pragma once
#include "executor/run.h"

// Removes the rest of the cgroup, if it is the one open as `dir` and is empty: 0 or negative errno.
int remove_left(struct run *r, const char *hierarchy, const char *path, int dir);
