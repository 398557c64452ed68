// Signal dispositions and masks, set by raw system calls.
#pragma once
#include "base/sys.h"

#include <signal.h>

void reset_signals(void); // gives every signal its default action
void set_signals(uint64_t which, void (*handler)(int)); // bit 0 is signal 1
void unblock_signals(void); // every signal, as a program expects at its start

// Blocks all signals and returns a signalfd of them. `ends`, if not null, gets a signalfd of those that end a verb
// before it relays signals to a process.
int relay_signals(int *ends);

#define BIT(signal) (1ull << ((signal) - 1))
// Signals that end a process by default, without those of its own faults (ILL, TRAP, BUS, SEGV).
#define FATAL \
  (BIT(SIGHUP) | BIT(SIGINT) | BIT(SIGQUIT) | BIT(SIGABRT) | BIT(SIGFPE) | BIT(SIGUSR1) | BIT(SIGUSR2) | \
      BIT(SIGPIPE) | BIT(SIGALRM) | BIT(SIGTERM) | BIT(SIGSTKFLT) | BIT(SIGXCPU) | BIT(SIGXFSZ) | BIT(SIGVTALRM) | \
      BIT(SIGPROF) | BIT(SIGIO) | BIT(SIGPWR) | BIT(SIGSYS))
#define ENDING (BIT(SIGTERM) | BIT(SIGINT) | BIT(SIGHUP) | BIT(SIGQUIT)) // by which others ask a verb to end
#define FIXED (BIT(SIGKILL) | BIT(SIGSTOP)) // whose actions no process can set
