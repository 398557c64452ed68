// Hooks, and other programs that a step runs: state on standard input, output kept for the error, time-outs by pidfd.
#include "core.h"

#include <poll.h>
#include <string.h>
#include <time.h>
#include <linux/sched.h>

#include "run.h"

// The last line or so of what the hook printed, for the error.
static void put_output(struct buffer *to, int output) {
  char text[400];
  struct stat st;
  if (sys_fstat(output, &st) < 0 || !st.st_size) return;
  off_t from = st.st_size > (off_t)sizeof text - 1 ? st.st_size - (off_t)sizeof text + 1 : 0;
  long n = sys4(SYS_pread64, output, text, sizeof text - 1, from);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ')) n--;
  if (n <= 0) return;
  for (long i = 0; i < n; i++) if (text[i] == '\n') text[i] = ' ';
  put(to, ": ");
  put_bytes(to, text, (size_t)n);
}

static _Noreturn void execute(const char *path, const char *const *argv, const char *const *env, const char *cwd, int input,
                              int output) {
  reset_signals();
  sys0(SYS_setsid);
  if (cwd) sys_chdir(cwd);
  if (sys_dup3(input, 0, 0) < 0 || sys_dup3(output, 1, 0) < 0 || sys_dup3(output, 2, 0) < 0) sys_exit(127);
  sys_close_range(3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
  long error = sys3(SYS_execve, path, argv, env);
  BUFFER(text, 128);
  put_error(&text, (int)error);
  write_all(2, text.data, text.used);
  sys_exit(127);
}

int run_hook(struct run *r, const char *path, const struct texts *args, const struct texts *env, int64_t timeout,
             const char *status) {
  const char *bare[] = {path, 0}, *cwd = 0;
  // A memfd, not a pipe: a state of any size fits, and a hook that does not read it cannot hold us up.
  int input = sys_data_memfd("state"), output = sys_data_memfd("hook"), pidfd = -1;
  if (input < 0 || output < 0) return failing(r, "memfd_create", input < 0 ? input : output);
  if (status) {
    struct buffer state = state_buffer(r->program);
    int inside = r->section == SECTION_INIT || r->section == SECTION_BEGIN;
    int pid = !strcmp(status, "stopped") ? 0 : inside ? (int)sys0(SYS_getpid) : r->container->journal->pid;
    put_state(&state, r->program, r->container->journal, pid, status, 0, 0);
    int error = write_all(input, state.data, state.used);
    sys2(SYS_munmap, state.data, state.size);
    if (error) return failing(r, "write", error);
    sys3(SYS_lseek, input, 0, 0);
    if (!inside) cwd = text_of(r->program, ((const struct step_write_state *)section_first(r->program, SECTION_STATE))->bundle);
  }
  struct clone_args clone = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = 17};
  long pid = sys2(SYS_clone3, &clone, sizeof clone);
  // Old seccomp profiles, loaded by now where startContainer hooks run, know no clone3.
  if (pid == -ENOSYS && (pid = sys0(SYS_fork)) > 0) pidfd = sys_pidfd_open((int)pid);
  if (pid < 0) return failing(r, "clone3", (int)pid);
  if (!pid) execute(path, args->count ? args->items : bare, env->items, cwd, input, output);
  int code = 0, late = 0;
  if (timeout > 0) {
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout;
    int64_t left = timeout * 1000;
    while (left > 0 && sys_poll(pidfd, POLLIN, left > 1000000 ? 1000000 : (int)left) == 0) {
      clock_gettime(CLOCK_MONOTONIC, &now);
      left = (end.tv_sec - now.tv_sec) * 1000 + (end.tv_nsec - now.tv_nsec) / 1000000;
    }
    late = sys_poll(pidfd, POLLIN, 0) == 0;
    if (late) sys2(SYS_kill, -pid, 9);  // the session it leads; it is our child, so the number is still its own
    if (late) sys_pidfd_signal(pidfd, 9);
  }
  int error = wait_exit(pidfd, &code);
  sys_close(pidfd); sys_close(input);
  if (error < 0) return failing(r, "waitid", error);
  if (!late && !code) { sys_close(output); return 0; }
  r->detail.used = 0;
  put(&r->detail, path);
  if (late) { put(&r->detail, ": timed out after "); put_number(&r->detail, timeout); put(&r->detail, " s"); }
  else if (code & 0x7f) { put(&r->detail, ": killed by signal "); put_number(&r->detail, code & 0x7f); }
  else { put(&r->detail, ": exit status "); put_number(&r->detail, code >> 8); }
  put_output(&r->detail, output);
  sys_close(output);
  return failing(r, "", -ECANCELED);
}

int do_run_hook(struct run *r, const struct step_run_hook *s) {
  if (r->section == SECTION_DELETE && !r->hooks) return 0;
  if (r->container->journal) r->container->journal->hooks_run = 1;
  int error = run_hook(r, TEXT(path), TEXTS(args), TEXTS(env), NUMBER(timeout), TEXT(status));
  if (!error) return 0;
  BUFFER(text, 2048);
  put(&text, text_of(r->program, s->head.at));
  put(&text, ": run hook ");
  if (*r->call) { put(&text, TEXT(path)); put(&text, ": "); put(&text, r->call); put(&text, ": "); put_error(&text, error); }
  else put(&text, r->detail.data);
  r->detail.used = 0;
  if (s->warn) { log_line("warning", text.data); return 0; }
  put(&r->detail, text.data);
  return failing(r, "", error);
}
