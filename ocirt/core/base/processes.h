// Other processes as /proc shows them, and the syntax of container ids.
#pragma once
#include "base/sys.h"
#include "base/text.h"

int read_start_time(int pid, uint64_t *start_time); // field 22 of /proc/PID/stat; -ESRCH with 0: no such process
uint64_t start_time_of(int pid); // 0: no such process; fails the verb if /proc does not say
int process_lives(int pid, uint64_t start_time); // is it still that process? Racy: for display, not before signalling
void put_process(struct buffer *to, int pid, const char *before); // pid, and the state that may keep it from ending
int plain_id(const char *id); // may a container have this id?
