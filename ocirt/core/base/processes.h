// Other processes as /proc shows them, the syntax of container ids, and threads of this process.
#pragma once
#include "base/text.h"

// Reads /proc/PID/stat: field 22 and, unless `letter` is null, the letter of the state; -ESRCH with 0: no such process.
int read_start_time(int pid, uint64_t *start_time, char *letter);
uint64_t start_time_of(int pid); // 0: no such process; fails the verb if /proc does not say
int process_lives(int pid, uint64_t start_time); // is it still that process? Racy: for display, not before signalling
void put_process(struct buffer *to, int pid, const char *before); // pid, and the state that may keep it from ending
int plain_id(const char *id); // may a container have this id?

// Starts a thread in `run`, on a stack of its own: 0 or a negative errno. It shares memory and descriptors with this
// thread, but no directories, with which this thread could join no mount namespace. `run` uses raw system calls only,
// and never returns. If `works` is not null, the kernel sets *works to 0 when the thread has ended, and wakes its
// futex.
int start_thread(void *stack, size_t size, int *works, void (*run)(void *), void *data);
_Noreturn void end_thread(void);
