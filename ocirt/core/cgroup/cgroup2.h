// Only for cgroup v2: controllers, which are enabled level by level.
#pragma once
#include "base/sys.h"
#include "executor/run.h"

char *systemd_path(int pid, char *text, size_t size); // the same, on v1 in systemd's own hierarchy
int open_cgroup_of_init(struct run *r, const char *hierarchy); // the present cgroup of init: fd or negative errno
void enable_controllers(int dir); // for the children of `dir`

// Explains in the detail why a v2 cgroup lacks the file. Adds nothing on v1.
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file);
