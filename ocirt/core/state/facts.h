// Facts that the container's cgroup shows: paused, processes killed for lack of memory, peak of memory.
#pragma once
#include "base/text.h"
#include "program/program.h"

int is_paused(const struct program *program);
int64_t oom_kills(const struct program *program);
int64_t pids_refused(const struct program *p); // how often the limit of processes has refused a new one
int64_t memory_peak(const struct program *program); // bytes; 0: not counted

void note_throttling(const struct program *program); // records what the cgroup says of it

// Appends that the kernel killed for lack of memory, if it did. `joins`: the process joined an existing container.
void put_oom(struct buffer *to, const struct program *program, int joins);
