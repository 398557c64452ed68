// Signal dispositions and masks, set by raw system calls.
#pragma once
#include "base/sys.h"

void reset_signals(void); // gives every signal its default action
void set_signals(uint64_t which, void (*handler)(int)); // bit 0 is signal 1
void unblock_signals(void); // every signal, as a program expects at its start

// Blocks all signals and returns a signalfd of them. `ends`, if not null, gets a signalfd of those that end a verb
// before it relays signals to a process.
int relay_signals(int *ends);

// FATAL: HUP INT QUIT ABRT FPE USR1 USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS. FIXED: KILL and STOP,
// whose actions no process can set.
#define FATAL 0x7780faa7ull
#define FIXED (1ull << 8 | 1ull << 18)
