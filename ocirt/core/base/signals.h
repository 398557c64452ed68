// Signal dispositions and masks, set by raw system calls.
#pragma once
#include "base/sys.h"

void reset_signals(void); // what the caller ignores, or catches, is as by default again
void set_signals(uint64_t which, void (*handler)(int)); // bit 0 is signal 1
void unblock_signals(void); // all of them: what a program begins with

// Blocks all signals: a signalfd of them; `ends`, if not null, gets one of those that end a verb which is not yet so
// far.
int relay_signals(int *ends);

// HUP INT QUIT ABRT FPE USR1 USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS; and nobody can set KILL and
// STOP.
#define FATAL 0x7780faa7ull
#define FIXED (1ull << 8 | 1ull << 18)
