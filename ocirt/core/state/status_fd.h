// --status-fd: lines about the begin and the end of a process.
#pragma once
#include <sys/resource.h>
#include "base/text.h"
#include "state/container.h"

void put_begin(struct buffer *to, int pid, uint64_t start_time, int renews);
_Noreturn void leave_process(int pid, uint64_t start_time); // tells the reader, if any, of it and ends the verb
void put_end(struct buffer *to, const struct container *c, int status, const struct rusage *usage); // a wait status
