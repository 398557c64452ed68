// Runs hooks and other programs: state on standard input, output kept for the error, timeouts by pidfd.
#include "commands/hook.h"

#include <poll.h>
#include <string.h>
#include <linux/close_range.h>
#include <linux/prctl.h>

#include "base/caller.h"
#include "base/exec_error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/signals.h"
#include "base/trace.h"
#include "base/wait.h"
#include "executor/child.h"
#include "executor/failure.h"
#include "executor/filter.h"
#include "state/state_json.h"

static void put_line(struct buffer *to, char *text, size_t size) {
  while (size && (text[size - 1] == '\n' || text[size - 1] == ' '))
    size--;
  for (size_t i = 0; i < size; i++)
    if (text[i] == '\n') text[i] = ' ';
  put_bytes(to, text, size);
}

// Reads once, and keeps the end of all that it has read: 0 at the end of the input.
static int read_tail(int from, struct tail *t) {
  long n = sys_read(from, t->text + t->used, sizeof t->text - t->used);
  if (n <= 0) return n == -EINTR;
  t->used += (size_t)n;
  if (t->used > TAIL) {
    memmove(t->text, t->text + t->used - TAIL, TAIL);
    t->used = TAIL;
  }
  return 1;
}

void put_output(struct buffer *to, int output) {
  struct tail tail = {.used = 0};
  sys3(SYS_lseek, output, 0, SEEK_SET);
  while (read_tail(output, &tail))
    ;
  put_line(to, tail.text, tail.used);
}

static _Noreturn void execute(struct command *c, int output) {
  reset_signals();
  unblock_signals();
  if (c->of_caller) restore_open_files();
  // If the runtime is killed, hooks die with it, so that delete --force leaves nothing. A helper decides by itself,
  // because it may have work to undo.
  if (c->tail) sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0);
  sys0(SYS_setsid);
  if (c->cwd) sys_chdir(c->cwd);
  if (c->root) sys_fchdir(c->root);
  int out = c->streams[0] > 0 ? c->streams[0] : output, err = c->streams[1] > 0 ? c->streams[1] : output;
  if (sys_dup3(c->input, 0, 0) < 0 || sys_dup3(out, 1, 0) < 0 || sys_dup3(err, 2, 0) < 0) sys_exit(127);
  long error = c->prepare ? c->prepare(c) : 0;
  if (error >= 0) {
    // First duplicates them to high numbers, so that none is in the way of another's final number.
    int high[COUNT(c->fds)];
    for (int i = 0; i < c->n_fds; i++)
      high[i] = sys_fcntl(c->fds[i], F_DUPFD_CLOEXEC, 3 + (int)COUNT(c->fds));
    for (int i = 0; i < c->n_fds; i++)
      if (sys_dup3(high[i], 3 + i, 0) < 0) sys_exit(127);
    error = sys_close_range(3 + (unsigned)c->n_fds, ~0u, CLOSE_RANGE_CLOEXEC);
    if (error >= 0 && c->filter) error = load_filter(c->program, c->filter->filter, c->filter->flags);
    if (error >= 0) error = sys3(SYS_execve, c->path, c->args, c->env);
  }
  BUFFER(text, 512);
  put_exec_error(&text, c->path, (int)error);
  write_all(2, text.data, text.used);
  sys_exit(127);
}

// Waits until the program has ended or its time is up, or a signal asks the runtime to end (-ECANCELED). Meanwhile
// reads its output from the pipe `from` (-1: none) into its tail.
static int wait_for(struct command *c, int pidfd, int from, int ends, struct outcome *outcome) {
  struct pollfd fds[] = {{pidfd, POLLIN, 0}, {from, POLLIN, 0}, {ends, POLLIN, 0}};
  int64_t end = milliseconds() + c->timeout * 1000, left = -1;
  while (!(fds[0].revents & POLLIN)) {
    if (c->timeout > 0 && (left = end - milliseconds()) <= 0) break;
    long n = sys_ppoll(fds, COUNT(fds), left > 1000000 ? 1000000 : left);
    if (n < 0 && n != -EINTR) return (int)n;
    if (n > 0 && fds[1].revents && !read_tail(from, c->tail)) fds[1].fd = -1;
    if (n <= 0)
      fds[0].revents = 0;
    else if (fds[2].revents && !fds[0].revents)
      return -ECANCELED;
  }
  outcome->late = !is_readable(pidfd);
  // Reads the rest of the pipe, but not for ever: a process that the program has left behind may go on printing.
  for (int reads = 0; fds[1].fd >= 0 && reads < 64 && read_tail(from, c->tail); reads++)
    ;
  return 0;
}

// Records the end of what the program has printed.
static void note_output(const struct command *c, int output) {
  if (!record.part) return;
  BUFFER(text, TAIL + 1);
  if (c->tail)
    put_bytes(&text, c->tail->text, c->tail->used);
  else
    put_output(&text, output);
  trace_note("output", c->path, text.data + (text.used > SHOWN ? text.used - SHOWN : 0));
}

int run_command(struct run *r, struct command *c, struct outcome *outcome) {
  int ends[2] = {-1, -1}, error;
  *outcome = (struct outcome){.output = -1};
  if (c->tail) {
    if ((error = (int)sys2(SYS_pipe2, ends, O_CLOEXEC)) < 0) return failing(r, "pipe2", error);
    sys_fcntl(ends[0], F_SETFL, O_NONBLOCK);
  } else if ((outcome->output = sys_memfd("output", MFD_NOEXEC_SEAL)) < 0)
    return failing(r, "memfd_create", outcome->output);
  CLOSING int from = ends[0], pidfd = -1;
  struct trace_event *event = trace_begin("program", c->path, text_of(r->program, r->step->at), "");
  long pid = clone_process(0, &pidfd, -1);
  if (!pid) execute(c, c->tail ? ends[1] : outcome->output);
  sys_close(ends[1]);
  if (pid < 0) return failing(r, "clone3", (int)pid);
  error = wait_for(c, pidfd, from, r->container->ends, outcome);
  trace_end(event, error);
  note_output(c, outcome->output);
  if (outcome->late || error < 0) {
    sys2(SYS_kill, -pid, SIGKILL); // the session it leads; it is our child, so the number is still its own
    sys_pidfd_signal(pidfd, SIGKILL);
  }
  if (error == -ECANCELED) return ended_by_signal(r);
  if (error < 0) return failing(r, "poll", error);
  return called(r, "waitid", wait_exit(pidfd, &outcome->status));
}

// Writes the state to a memfd instead of a pipe: any size fits, and a hook that does not read it cannot block the
// runtime. 0, or a negative errno.
static int write_hook_state(struct run *r, int input, const char *status) {
  int inside = r->section == SECTION_INIT || r->section == SECTION_EXEC_PROGRAM;
  int pid = !strcmp(status, "stopped") ? 0 : inside ? (int)sys0(SYS_getpid) : r->container->journal->pid;
  struct buffer state = state_json(r->program, r->container->journal, pid, status, -1, 0);
  int error = write_all(input, state.data, state.used);
  arena_pop(&state);
  sys3(SYS_lseek, input, 0, SEEK_SET);
  return error;
}

static int hook_failed(struct run *r, const struct command *c, const struct outcome *outcome) {
  int code = outcome->status;
  forget_detail(r);
  if (outcome->late)
    format(&r->detail, "%s: timed out after %l s", c->path, c->timeout);
  else if (code & 0x7f)
    format(&r->detail, "%s: killed by signal %d", c->path, code & 0x7f);
  else
    format(&r->detail, "%s: exit status %d", c->path, code >> 8);
  if (c->tail->used) put(&r->detail, ": ");
  put_line(&r->detail, c->tail->text, c->tail->used);
  return failing(r, "", -ECANCELED);
}

int run_hook(struct run *r, const char *path, const struct texts *args, const char *const *env, int64_t timeout,
    const char *status, const int *streams) {
  static struct tail tail;
  const char *bare[] = {path, 0};
  CLOSING int input = sys_memfd("state", MFD_NOEXEC_SEAL);
  if (input < 0) return failing(r, "memfd_create", input);
  struct command command = {.path = path,
      .args = args->count ? args->items : bare,
      .env = env,
      .input = input,
      .timeout = timeout,
      .tail = &tail,
      .streams = {streams ? streams[0] : 0, streams ? streams[1] : 0},
      .of_caller = r->section != SECTION_EXEC_PROGRAM,
      .program = r->program,
      .filter = r->hook_filter};
  struct outcome outcome;
  int error = status ? write_hook_state(r, input, status) : 0;
  if (error) return failing(r, "write", error);
  // createContainer hooks start in the rootfs, as in runc.
  if (status && r->section == SECTION_INIT)
    command.root = r->rootfs;
  else if (status && r->section != SECTION_EXEC_PROGRAM)
    command.cwd = r->program->facts.bundle;
  tail.used = 0;
  error = run_command(r, &command, &outcome);
  return error || (!outcome.late && !outcome.status) ? error : hook_failed(r, &command, &outcome);
}

int do_open_hook_output(struct run *r, const struct step_open_hook_output *s) {
  if (r->section == SECTION_DELETE && !r->hooks) return 0;
  int fd = sys_open(AT_FDCWD, TEXT(path), O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0600);
  if (fd >= 0) r->fds[s->fd] = fd;
  if (fd >= 0 || !s->warn) return called(r, "open", fd);
  warn("%s: open %s: %e", text_of(r->program, s->head.at), TEXT(path), fd);
  return 0;
}

int do_run_hook(struct run *r, const struct step_run_hook *s) {
  const char *at = text_of(r->program, s->head.at);
  struct effect *effect = 0;
  if (r->section == SECTION_DELETE) {
    if (!r->hooks) return 0;
    effect = effect_of(r->container->journal, effect_key("hook", at), 1);
    // The delete that this one has ended hung in the hook.
    if (effect && r->container->taken_over && effect->state == EFFECT_INTENDED) {
      warn("%s: skipped hook %s, which had not ended", at, TEXT(path));
      return 0;
    }
    if (effect) effect->state = EFFECT_INTENDED;
  }
  r->container->journal->hooks_run = 1;
  const char *const *env = s->inherit ? (const char *const *)caller.environment : TEXTS(env)->items;
  int streams[] = {NUMBER(stdout) < 0 ? -1 : r->fds[s->stdout], NUMBER(stderr) < 0 ? -1 : r->fds[s->stderr]};
  int error = run_hook(r, TEXT(path), TEXTS(args), env, NUMBER(timeout), TEXT(status), streams);
  if (effect) effect->state = EFFECT_UNDONE;
  if (!error) return 0;
  error = *r->call ? whole_failure(r, error, "%s: run hook %s: %s: %e", at, TEXT(path), r->call, error)
                   : whole_failure(r, error, "%s: run hook %s", at, r->detail.data);
  if (!s->warn) return error;
  log_line("warning", r->detail.data);
  forget_detail(r);
  return 0;
}
