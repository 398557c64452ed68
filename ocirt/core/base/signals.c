// Signal dispositions and masks by raw system calls: libc's wrappers use a cached thread id, which is wrong after
// clone3.
#include "base/signals.h"

#include <sys/signalfd.h>

void set_signals(uint64_t which, void (*handler)(int)) {
  struct kernel_sigaction action = {.handler = handler, .flags = SA_RESTORER};
  for (int signal = 1; signal <= 64; signal++)
    if (which >> (signal - 1) & 1) sys4(SYS_rt_sigaction, signal, &action, 0, sizeof action.mask);
}

void reset_signals(void) { set_signals(~FIXED, 0); }

void unblock_signals(void) {
  uint64_t none = 0;
  sys4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
}

int relay_signals(int *ends) {
  uint64_t all = ~0ull, ending = ENDING;
  if (ends) *ends = (int)sys4(SYS_signalfd4, -1, &ending, sizeof ending, SFD_CLOEXEC);
  sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, sizeof all);
  return (int)sys4(SYS_signalfd4, -1, &all, sizeof all, SFD_CLOEXEC | SFD_NONBLOCK);
}
