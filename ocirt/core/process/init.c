// --init: the container's first process stays as a small init and makes the program its child. It relays signals, which
// then reach even a program without a handler, reaps orphans, and exits with the program's status.
//
// The runtime forks the init instead of executing a file: the container needs no such file, and a policy that forbids
// executing memfds does not matter. The init has the user, capabilities, limits, no_new_privs and seccomp filter of the
// program, because the fork comes after all of these, so a process that traces the init gains nothing. (A filter that
// refuses clone(2) therefore fails the start, and the error names that call.) The init stays non-dumpable, and keeps
// nothing of the runtime: no descriptor, no memory shared with the host, no environment.

#include <sys/wait.h>
#include <asm/ioctls.h>
#include <linux/prctl.h>

#include "base/memory.h"
#include "base/signals.h"
#include "executor/failure.h"
#include "launch/detach.h"

#define NAME "ocirt-init"

#define DESCRIPTORS (1 << 17) // more than the caller passes on and the runtime opens
#define ROOM (64 << 10) // bytes of stack below the caller's frame that stay mapped

// Unmaps everything between the heap and the stack: among it journal and program, the only memory shared with others.
static int forget_mappings(void) {
  uintptr_t page = page_size(), here = (uintptr_t)__builtin_frame_address(0);
  uintptr_t from = ((uintptr_t)sys1(SYS_brk, 0) + page - 1) & -page, to = (here - ROOM) & -page;
  return (int)sys2(SYS_munmap, from, to - from);
}

// Reaps all children that have ended. Without WNOHANG, waits for one.
static void reap(int program, int options) {
  int status;
  long pid;
  while ((pid = sys4(SYS_wait4, -1, &status, options, 0)) > 0) {
    if (pid == program) sys_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    if (!options) return;
  }
  // The program is still a child, so this is not ECHILD: a seccomp filter refuses the wait.
  if (pid < 0 && pid != -EINTR) sys_exit(1);
}

static _Noreturn void be_init(int program) {
  uint64_t all = ~0ull;
  // Without a pid namespace of the container's own, its orphans would go to another reaper.
  sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0);
  for (;;) {
    long signal = sys4(SYS_rt_sigtimedwait, &all, 0, 0, sizeof all);
    if (signal > 0 && signal != SIGCHLD)
      sys2(SYS_kill, program, signal);
    else
      reap(program, signal > 0 ? WNOHANG : 0); // if a filter refuses to wait for signals, wait for children
  }
}

// The program gets a process group of its own in the foreground of its terminal, so that it receives Ctrl-C once, and
// not a second time from the init.
static int be_program(void) {
  int group = (int)sys0(SYS_getpid);
  sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0);
  sys2(SYS_setpgid, 0, 0);
  sys_ioctl(0, TIOCSPGRP, &group); // fails without a terminal, which is fine
  unblock_signals();
  return 0;
}

int do_keep_init(struct run *r, const struct step_keep_init *s) {
  uint64_t all = ~0ull;
  sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, sizeof all); // they stay pending until the init takes them
  sys_prctl(PR_SET_NAME, (uintptr_t)NAME, 0); // before the program can look; its execve gives it a name of its own
  int program = (int)sys5(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (program < 0) return failing(r, "clone", program);
  if (!program) return be_program();
  forget_arguments(NAME);
  sys_chdir("/");
  int error = forget_mappings();
  if (error < 0) child_failed(r, failing(r, "munmap", error));
  // `start` sees its end close once the program is executed. The filter may refuse to close all descriptors at once.
  for (int fd = 0, left = sys_close_range(0, ~0u, 0); left && fd < DESCRIPTORS; fd++)
    sys_close(fd);
  be_init(program);
}
