// Signal dispositions and masks, by raw system calls: libc's wrappers need a thread id that clone3 makes wrong.
#include "base/signals.h"

#include <sys/wait.h>
#include <sys/signalfd.h>

// The kernel's own structure: libc's sigaction would need its restorer, and its wrapper a working thread id.
struct kernel_sigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};

__attribute__((naked)) static void restore(void) {
  __asm__("mov $15, %eax\n\tsyscall");
} // rt_sigreturn

void set_signals(uint64_t which, void (*handler)(int)) {
  struct kernel_sigaction action = {
      .handler = handler, .flags = handler ? 0x04000000 /* SA_RESTORER */ : 0, .restorer = handler ? restore : 0};
  for (int signal = 1; signal <= 64; signal++)
    if (which >> (signal - 1) & 1) sys4(SYS_rt_sigaction, signal, &action, 0, 8);
}

void reset_signals(void) {
  set_signals(~FIXED, 0);
}

void unblock_signals(void) {
  uint64_t none = 0;
  sys4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
}

int relay_signals(int *ends) {
  sigset_t all;
  uint64_t fatal = 1ull << (SIGTERM - 1) | 1ull << (SIGINT - 1) | 1ull << (SIGHUP - 1) | 1ull << (SIGQUIT - 1);
  sigfillset(&all);
  if (ends) *ends = (int)sys4(SYS_signalfd4, -1, &fatal, 8, SFD_CLOEXEC);
  sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8);
  return (int)sys4(SYS_signalfd4, -1, &all, 8, SFD_CLOEXEC | SFD_NONBLOCK);
}
