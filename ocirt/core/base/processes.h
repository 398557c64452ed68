// Other processes as /proc shows them, and which names may be ids of containers.
#pragma once
#include "base/sys.h"
#include "base/text.h"

int read_start_time(int pid, uint64_t *start_time); // field 22 of /proc/PID/stat; -ESRCH with 0: no such process
uint64_t start_time_of(int pid); // the same, or the end of this process where it cannot be told
int process_lives(int pid, uint64_t start_time); // is it still that process? Racy: for display, not before signalling
void put_process(struct buffer *to, int pid, const char *before); // its pid, and what keeps it from ending
int plain_id(const char *id); // can it be a container's?
