// What cgroup v2 alone has: controllers that are enabled level by level, and domains.
#pragma once
#include "base/sys.h"
#include "executor/run.h"

char *unified_path(int pid, char *text, size_t size); // of its cgroup, as /proc/PID/cgroup has it, or null
char *systemd_path(int pid, char *text, size_t size); // the same in systemd's own hierarchy, on v1 if there is one
int open_cgroup_of_init(struct run *r, const char *hierarchy); // where init is now: fd or negative errno
void enable_controllers(int dir); // for the children of the cgroup that is open as `dir`

// Adds to the detail why a v2 cgroup has no such file; nothing on v1.
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file);
