#pragma once
#include "base/sys.h"
#include "executor/run.h"

#define TOLERATE_WARNING 2

// 0 where the step tolerates that the hierarchy was passed over, or 1: it is there. Otherwise the error.
int is_there(struct run *r, uint64_t hierarchy, int64_t tolerate);

// With `tolerate`, a hierarchy that may not be written is passed over from here on: 0. Otherwise the error.
int tolerated(struct run *r, uint64_t hierarchy, int64_t tolerate, const char *call, int error);
uint64_t cgroup_key(const char *hierarchy, const char *path); // of its effect in the journal
