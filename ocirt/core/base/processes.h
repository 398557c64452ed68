#pragma once
#include "base/sys.h"
#include "base/text.h"

int read_start_time(int pid, uint64_t *start_time); // field 22 of /proc/PID/stat; -ESRCH with 0: no such process
uint64_t start_time_of(int pid); // the same, or the end of this process where it cannot be told
int process_lives(int pid, uint64_t start_time); // is it that process still, for who does nothing to it?
void put_process(struct buffer *to, int pid, const char *before); // its pid, and what keeps it from ending
int plain_id(const char *id); // can it be a container's?
