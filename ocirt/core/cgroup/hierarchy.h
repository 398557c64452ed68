// Opens cgroups in the host's hierarchies, and skips hierarchies that the caller may not write.
#pragma once
#include "base/cgroupfs.h"
#include "executor/run.h"

int open_file(struct run *r, const char *hierarchy, const char *path, const char *file, int flags);
int open_cgroup(struct run *r, const char *hierarchy, const char *path, int flags); // its directory
uint64_t cgroup_key(const char *hierarchy, const char *path); // of its effect in the journal

#define SKIP_WITH_WARNING 2

// 1: the runtime uses the hierarchy. 0: it was skipped before, and the step tolerates that. Otherwise the error.
int is_there(struct run *r, uint64_t hierarchy, int64_t skip_unwritable);

// With `skip_unwritable`, skips a hierarchy that the caller may not write from here on: 0. Otherwise the error.
int skip_or_fail(struct run *r, uint64_t hierarchy, int64_t skip_unwritable, const char *call, int error);
