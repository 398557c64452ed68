// What the container's cgroup says of it: paused, killed for want of memory, memory used.
#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "program/program.h"

int is_paused(const struct program *program);
int64_t oom_kills(const struct program *program);
int64_t memory_peak(const struct program *program); // bytes; 0: not counted

// Why somebody was killed, if it was for that; `joins`: in a container that existed.
void put_oom(struct buffer *to, const struct program *program, int joins);
