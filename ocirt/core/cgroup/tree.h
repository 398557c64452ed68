#pragma once
#include "base/sys.h"
#include "executor/run.h"

int is_populated(int dir); // does a process live in it, or below it?

// Journals a cgroup that was there before, and its child cgroups, which are others': 0, or a negative errno of which
// all is said.
int use_cgroup(struct run *r, const char *hierarchy, const char *path, int dir);
int assert_no_strangers(struct run *r, const char *hierarchy, const char *path, int dir); // in those child cgroups

int remove_left(
    struct run *r, const char *hierarchy, const char *path, int dir); // if it is `dir` and empty: 0 or negative errno
