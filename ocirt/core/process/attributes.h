// The procfs through which steps write.
#pragma once
#include "base/sys.h"
#include "executor/run.h"

// A procfs of our own, so that nothing a container has put at /proc is written to instead.
int own_proc(struct run *r);
