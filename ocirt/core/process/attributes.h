// The procfs that steps write to.
#pragma once
#include "executor/run.h"

// Mounts a private procfs, so that steps never write to what a container has put at /proc. Fd or negative errno.
int own_proc(struct run *r);
