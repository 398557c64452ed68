// Hooks, and other programs that a step runs: state on standard input, output kept for the error, time-outs by pidfd.
#include "core.h"

#include <poll.h>
#include <string.h>
#include <linux/sched.h>

#include "run.h"

void put_output(struct buffer *to, int output) {
  char text[400];
  struct stat st;
  if (sys_fstat(output, &st) < 0 || !st.st_size) return;
  off_t from = st.st_size > (off_t)sizeof text - 1 ? st.st_size - (off_t)sizeof text + 1 : 0;
  long n = sys4(SYS_pread64, output, text, sizeof text - 1, from);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ')) n--;
  if (n <= 0) return;
  for (long i = 0; i < n; i++) if (text[i] == '\n') text[i] = ' ';
  put_bytes(to, text, (size_t)n);
}

static _Noreturn void execute(struct command *c, int output) {
  reset_signals();
  unblock_signals();
  if (c->of_caller) restore_open_files();
  sys0(SYS_setsid);
  if (c->cwd) sys_chdir(c->cwd);
  if (sys_dup3(c->input, 0, 0) < 0 || sys_dup3(output, 1, 0) < 0 || sys_dup3(output, 2, 0) < 0) sys_exit(127);
  long error = c->prepare ? c->prepare(c) : 0;
  if (error >= 0) {
    // First out of the way of the numbers that they are to have.
    int high[COUNT(c->fds)];
    for (int i = 0; i < c->n_fds; i++) high[i] = sys_fcntl(c->fds[i], F_DUPFD_CLOEXEC, 3 + (int)COUNT(c->fds));
    for (int i = 0; i < c->n_fds; i++) if (sys_dup3(high[i], 3 + i, 0) < 0) sys_exit(127);
    sys_close_range(3 + (unsigned)c->n_fds, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
    if (c->filter) error = load_filter(c->program, c->filter->filter, c->filter->flags);
    if (error >= 0) error = sys3(SYS_execve, c->path, c->args, c->env);
  }
  BUFFER(text, 128);
  put_error(&text, (int)error);
  write_all(2, text.data, text.used);
  sys_exit(127);
}

int run_command(struct run *r, struct command *c, struct outcome *outcome) {
  int pidfd = -1;
  *outcome = (struct outcome){.output = sys_data_memfd("output")};
  if (outcome->output < 0) return failing(r, "memfd_create", outcome->output);
  struct clone_args clone = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = 17};
  long pid = sys2(SYS_clone3, &clone, sizeof clone);
  // Old seccomp profiles, loaded by now where startContainer hooks run, know no clone3.
  if (pid == -ENOSYS && (pid = sys0(SYS_fork)) > 0) pidfd = sys_pidfd_open((int)pid);
  if (pid < 0) return failing(r, "clone3", (int)pid);
  if (!pid) execute(c, outcome->output);
  if (c->timeout > 0) {
    int64_t end = milliseconds() + c->timeout * 1000, left;
    while ((left = end - milliseconds()) > 0 && sys_poll(pidfd, POLLIN, left > 1000000 ? 1000000 : (int)left) == 0);
    outcome->late = sys_poll(pidfd, POLLIN, 0) == 0;
    if (outcome->late) sys2(SYS_kill, -pid, 9);  // the session it leads; it is our child, so the number is still its own
    if (outcome->late) sys_pidfd_signal(pidfd, 9);
  }
  int error = wait_exit(pidfd, &outcome->status);
  sys_close(pidfd);
  return error < 0 ? failing(r, "waitid", error) : 0;
}

int run_hook(struct run *r, const char *path, const struct texts *args, const struct texts *env, int64_t timeout,
             const char *status) {
  const char *bare[] = {path, 0};
  struct command command = {.path = path, .args = args->count ? args->items : bare, .env = env->items, .timeout = timeout,
                            .of_caller = r->section != SECTION_BEGIN, .program = r->program, .filter = r->hook_filter};
  struct outcome outcome;
  // A memfd, not a pipe: a state of any size fits, and a hook that does not read it cannot hold us up.
  command.input = sys_data_memfd("state");
  if (command.input < 0) return failing(r, "memfd_create", command.input);
  if (status) {
    struct buffer state = state_buffer(r->program);
    int inside = r->section == SECTION_INIT || r->section == SECTION_BEGIN;
    int pid = !strcmp(status, "stopped") ? 0 : inside ? (int)sys0(SYS_getpid) : r->container->journal->pid;
    put_state(&state, r->program, r->container->journal, pid, status, 0, 0);
    int error = write_all(command.input, state.data, state.used);
    less_memory(&state);
    if (error) return failing(r, "write", error);
    sys3(SYS_lseek, command.input, 0, 0);
    if (!inside)
      command.cwd = text_of(r->program, state_of(r->program)->bundle);
  }
  int error = run_command(r, &command, &outcome), code = outcome.status;
  sys_close(command.input);
  if (error || (!outcome.late && !code)) { sys_close(outcome.output); return error; }
  r->detail.used = 0;
  put(&r->detail, path);
  if (outcome.late) { put(&r->detail, ": timed out after "); put_number(&r->detail, timeout); put(&r->detail, " s"); }
  else if (code & 0x7f) { put(&r->detail, ": killed by signal "); put_number(&r->detail, code & 0x7f); }
  else { put(&r->detail, ": exit status "); put_number(&r->detail, code >> 8); }
  BUFFER(text, 512);
  put_output(&text, outcome.output);
  if (text.used) { put(&r->detail, ": "); put(&r->detail, text.data); }
  sys_close(outcome.output);
  return failing(r, "", -ECANCELED);
}

int do_run_hook(struct run *r, const struct step_run_hook *s) {
  const char *at = text_of(r->program, s->head.at);
  struct effect *effect = 0;
  BUFFER(text, 2048);
  if (r->section == SECTION_DELETE && !r->hooks) return 0;
  if (r->section == SECTION_DELETE && (effect = effect_of(r->container->journal, effect_key("hook", at), 1))) {
    // The delete that was ended had hung in this one; it would hang this one, too.
    if (r->container->taken_over && effect->state == EFFECT_INTENDED) {
      format(&text, "%s: passed over hook %s, which had not ended", at, TEXT(path));
      log_line("warning", text.data);
      return 0;
    }
    effect->state = EFFECT_INTENDED;
  }
  r->container->journal->hooks_run = 1;
  int error = run_hook(r, TEXT(path), TEXTS(args), TEXTS(env), NUMBER(timeout), TEXT(status));
  if (effect) effect->state = EFFECT_UNDONE;
  if (!error) return 0;
  put(&text, at);
  put(&text, ": run hook ");
  if (*r->call) { put(&text, TEXT(path)); put(&text, ": "); put(&text, r->call); put(&text, ": "); put_error(&text, error); }
  else put(&text, r->detail.data);
  r->detail.used = 0;
  if (s->warn) { log_line("warning", text.data); return 0; }
  put(&r->detail, text.data);
  return failing(r, "", error);
}
