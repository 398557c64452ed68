// --init: the container's first process stays as a small init, and the program is a child of it. Signals are passed on
// to the program, which gets them even where it has no handler; orphans are reaped; the init ends with the program's
// status.
//
// The init is this process and not a file of its own that is executed: the container needs no such file, and a policy
// that forbids to execute memfds is no obstacle. It is under all that the program is under: user, capabilities, limits,
// no_new_privs and the seccomp filter, which is loaded before the two part, so that a process that could trace the init
// gains nothing. (A filter that refuses clone(2) therefore fails the start, with that call's name.) It stays not
// dumpable, and keeps nothing of the runtime: no descriptor, no memory that it shares with the host, no environment.

#include <sys/wait.h>
#include <asm/ioctls.h>
#include <linux/prctl.h>

#include "base/memory.h"
#include "base/signals.h"
#include "executor/failure.h"
#include "launch/detach.h"

#define NAME "ocirt-init"

#define ROOM (64 << 10) // of the stack, below the caller's frame

// Journal and program, the only memory here that others see too, and whatever else lies between the heap and the stack.
static int forget_mappings(void) {
  uintptr_t page = page_size(), here = (uintptr_t)__builtin_frame_address(0);
  uintptr_t from = ((uintptr_t)sys1(SYS_brk, 0) + page - 1) & -page, to = (here - ROOM) & -page;
  return (int)sys2(SYS_munmap, from, to - from);
}

// With WNOHANG what has ended, without it also the next one that does.
static void reap(int program, int options) {
  int status;
  long pid;
  while ((pid = sys4(SYS_wait4, -1, &status, options, 0)) > 0) {
    if (pid == program) sys_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    if (!options) return;
  }
  // There is a child as long as there is the program: a filter refuses the wait.
  if (pid < 0 && pid != -EINTR) sys_exit(1);
}

static _Noreturn void be_init(int program) {
  sigset_t all;
  sigfillset(&all);
  // Where the container has no pid namespace of its own its orphans would not come here.
  sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0);
  for (;;) {
    long signal = sys4(SYS_rt_sigtimedwait, &all, 0, 0, 8);
    if (signal > 0 && signal != SIGCHLD)
      sys2(SYS_kill, program, signal);
    else
      reap(program, signal > 0 ? WNOHANG : 0); // a filter that refuses to wait for signals leaves the wait for children
  }
}

// The program: the foreground of its terminal, as a group of its own, so that Ctrl-C comes once and not also by way of
// the init.
static int be_program(void) {
  int group = (int)sys0(SYS_getpid);
  sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0);
  sys2(SYS_setpgid, 0, 0);
  sys_ioctl(0, TIOCSPGRP, &group); // no terminal: no foreground
  unblock_signals();
  return 0;
}

int do_keep_init(struct run *r, const struct step_keep_init *s) {
  sigset_t all;
  sigfillset(&all);
  sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8); // they wait for the init to take them
  int program = (int)sys5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (program < 0) return failing(r, "clone", program);
  if (!program) return be_program();
  forget_arguments(NAME);
  sys_chdir("/");
  int error = forget_mappings();
  if (error < 0) child_failed(r, &s->head, failing(r, "munmap", error));
  sys_prctl(PR_SET_NAME, (uintptr_t)NAME, 0, 0);
  sys_close_range(0, ~0u, 0); // `start` sees its end close once the program is executed
  be_init(program);
}
