// Only for cgroup v2: controllers, which are enabled level by level.
#pragma once
#include "executor/run.h"

// The process's cgroup in the hierarchy whose lines in /proc/PID/cgroup have `mark` after the number ("::" is v2), or
// null.
char *path_in(int pid, const char *mark, char *text, size_t size);
int open_cgroup_of_init(struct run *r, const char *hierarchy); // the present cgroup of init: fd or negative errno

// Enables for the children of the open cgroup, whose descriptor it closes, all its controllers.
int enable_controllers(struct run *r, int cgroup);

// Explains in the detail why a v2 cgroup lacks the file. Adds nothing on v1.
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file);
