#pragma once
#include "base/sys.h"
#include "executor/run.h"

char *unified_path(int pid, char *text, size_t size); // of its cgroup, as /proc/PID/cgroup has it, or null
char *systemd_path(int pid, char *text, size_t size); // the same in systemd's own hierarchy, of v1 where there is one
int open_cgroup_of_init(struct run *r, const char *hierarchy); // in which that is now: fd or negative errno
void enable_controllers(struct run *r, int dir, const char *path);
const char *unfit(int dir, int present); // why no container can live in it, or null
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file);
