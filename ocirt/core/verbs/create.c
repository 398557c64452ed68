// create, run and restore are transactions: a failure is undone here, and what a killed runtime leaves is undone by
// `delete --force`. In the foreground run and restore, and create with --status-fd, stay until the container's end.
#include "verbs/create.h"

#include <sys/prctl.h>

#include "base/cgroupfs.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/terminal.h"
#include "commands/helper.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "launch/descriptors.h"
#include "launch/python.h"
#include "state/facts.h"
#include "state/status_fd.h"
#include "verbs/foreground.h"
#include "verbs/lifecycle.h"
#include "verbs/start.h"

static _Noreturn void undo(struct container *c, struct run *r, const char *message) {
  end_child(r); // a cgroup with processes cannot be removed
  // Create may have failed because there are no more descriptors.
  for (unsigned i = 0; i < REGISTERS; i++)
    sys_close(r->fds[i]);
  sys_close(r->start_socket);
  sys_close(r->cgroupfs);
  destroy_or_warn(c, (int)c->journal->hooks_run);
  fail("%s", message);
}

static struct container new_container(struct request *q, const struct program *program, struct span config) {
  struct container c = {.program = *program,
      .config = config,
      .root = q->flags[FLAG_ROOT],
      .id = q->arguments[0],
      .notify_host = environment_variable(q, "NOTIFY_SOCKET"),
      .holes = q->holes};
  container_make(&c);
  return c;
}

static void run_host_section(struct run *r) {
  struct container *c = r->container;
  // Opened now, before init makes a network namespace: until that is made, paths through sysfs wait.
  beneath_cgroupfs(&r->cgroupfs, &(const char *){"/sys/fs/cgroup/"});
  int error = run_section(r);
  if (!error) return;
  STATIC_BUFFER(text, LOG_LINE);
  put_failure(&text, r, r->step, error);
  c->ends = -1; // a signal must not cut the removal short
  undo_helpers(r);
  undo(c, r, text.data);
}

// `run`: starts what has just been created. A failure removes the container and ends the verb.
static void start_or_destroy(struct run *r) {
  struct container *c = r->container;
  STATIC_BUFFER(text, LOG_LINE);
  int error = start_container(c, 0, r->peer, &text);
  if (!error) return;
  if (error != START_DESTROYED) lock_and_destroy(c, (int)c->journal->hooks_run);
  fail("%s", text.data);
}

void verb_create(struct request *q, const struct program *program, struct span config) {
  static struct run r;
  int restore = q->verb == VERB_RESTORE, run = q->verb == VERB_RUN || restore, signals = -1;
  int waits_for_end = run ? !q->flags[FLAG_DETACH] : logging.reader >= 0;
  keep_for_program(q); // hooks must not get these descriptors
  struct container c = new_container(q, program, config);
  fault_begin(native_verbs[q->verb].name);
  run_begin(&r, &c, SECTION_HOST);
  fault_point();
  if (waits_for_end && !q->flags[FLAG_NO_SUBREAPER]) sys_prctl(PR_SET_CHILD_SUBREAPER, 1, 0);
  if (waits_for_end) signals = relay_signals(&c.ends);
  run_host_section(&r);

  // The terminal fits before the program can ask; the relay passes on whatever changes later.
  if (run && waits_for_end && r.console >= 0) connect_terminal(r.console);
  if (run && !restore) start_or_destroy(&r);
  note_throttling(&c.program);
  await_python(q);
  log_commit();
  struct foreground_process init = {.container = &c,
      .pid = c.journal->pid,
      .pidfd = c.pidfd,
      .signals = signals,
      .master = r.console,
      .start_time = c.journal->start_time};
  if (!waits_for_end) {
    tell_begin(init.pid, init.start_time);
    sys_exit(0);
  }
  container_unlock(&c); // from now on other verbs act on the container
  if (!run) {
    sys_close(r.peer);
    sys_close(r.start_socket);
  }
  int status = run_in_foreground(&init);
  if (status < 0 || q->flags[FLAG_REMOVE] || (run && !q->flags[FLAG_KEEP])) lock_and_destroy(&c, 1);
  sys_exit(status < 0 ? 255 : status);
}
