// Files of /proc/PID that steps open and write.
#pragma once
#include "executor/run.h"

int open_process_file(int pid, const char *file, int flags); // pid 0: this process; fd or negative errno

// Writes by one call, because the kernel takes an id map only as a whole. 0, or a negative errno with the failing call.
int write_process_file(struct run *r, int pid, const char *file, const char *value);
