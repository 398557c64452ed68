// create, run and restore are transactions: a failure is undone here, and what a killed runtime leaves is undone by
// `delete --force`. In the foreground run and restore, and create with --status-fd, stay until the container's end.
#include "verbs/create.h"

#include <sys/prctl.h>

#include "base/cgroupfs.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/terminal.h"
#include "base/trace.h"
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

static void close_run(struct run *r) {
  for (unsigned i = 0; i < REGISTERS; i++)
    sys_close(r->fds[i]);
  sys_close(r->start_socket);
  sys_close(r->cgroupfs);
}

static _Noreturn void undo(struct container *c, struct run *r, const char *message) {
  end_child(r); // a cgroup with processes cannot be removed
  close_run(r); // create may have failed because there are no more descriptors
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

// --renew: makes the next container in the state directory of the one whose program has ended: 1, or 0 if that has run
// none, or another verb has removed it.
static int renew(struct run *r) {
  struct container *c = r->container;
  if (c->journal->phase != PHASE_RUNNING || container_lock(c)) return 0;
  journal_begin(c->journal); // a delete that finds this ends the runtime first, as it ends any create
  sys_close(release(&c->pidfd));
  close_run(r);
  run_begin(r, c, SECTION_RENEW);
  run_host_section(r);
  return 1;
}

// Stays until the end of the container, with --renew until that of the last one: as run_in_foreground. `by_message`:
// the program comes over --status-fd.
static int stay(struct run *r, int signals, int by_message) {
  struct container *c = r->container;
  struct foreground_process init;
  int status;
  do {
    container_unlock(c); // from now on other verbs act on the container
    init = (struct foreground_process){.container = c,
        .pid = c->journal->pid,
        .pidfd = c->pidfd,
        .signals = signals,
        .master = r->console,
        .peer = by_message ? r->peer : 0,
        .renews = section_count(&c->program, SECTION_RENEW) && !record.part, // which has no room for the next one
        .start_time = c->journal->start_time};
    status = run_in_foreground(&init);
    if (by_message) sys_close(init.peer);
  } while (init.renews && status >= 0 && renew(r));
  return status;
}

void verb_create(struct request *q, const struct program *program, struct span config) {
  static struct run r;
  int restore = q->verb == VERB_RESTORE, run = q->verb == VERB_RUN || restore, signals = -1;
  int waits_for_end = run ? !q->flags[FLAG_DETACH] : logging.reader >= 0;
  if (q->flags[FLAG_RENEW] && logging.reader < 0) fail("--renew: found no --status-fd, expected that of a socket");
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
  if (!waits_for_end) leave_process(c.journal->pid, c.journal->start_time);
  int by_message = q->flags[FLAG_RENEW] != 0;
  if (!run) sys_close(r.start_socket);
  if (!run && !by_message) sys_close(r.peer);
  int status = stay(&r, signals, by_message);
  if (status < 0 || q->flags[FLAG_REMOVE] || (run && !q->flags[FLAG_KEEP])) lock_and_destroy(&c, 1);
  end_verb(status < 0 ? 255 : status);
}
