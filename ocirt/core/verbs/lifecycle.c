#include "verbs/lifecycle.h"

#include <poll.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/processes.h"
#include "base/wait.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "launch/python.h"

#define KILLED_MILLISECONDS 60000 // for which a verb waits for the end of another runtime that it has killed

void name_container(struct container *c, struct request *q) {
  c->root = q->flags[FLAG_ROOT];
  c->id = q->arguments[0];
  if (!*c->id || strchr(c->id, '/') || !strcmp(c->id, ".") || !strcmp(c->id, ".."))
    fail("invalid container id: found \"%s\", expected letters, digits and _ + . -", c->id);
}

int end_process(int pid, uint64_t start_time) {
  CLOSING int pidfd = pid > 0 && pid != sys0(SYS_getpid) ? sys_pidfd_open(pid) : -1;
  // The pidfd is open before the start time is read, so the signal cannot reach a later process with the same pid.
  if (pidfd < 0 || start_time_of(pid) != start_time) return 0;
  sys_pidfd_signal(pidfd, SIGKILL);
  sys_poll(pidfd, POLLIN, KILLED_MILLISECONDS);
  return 1;
}

// `delete --force` ends the process that has kept the lock for too long. The journal tells delete what that process has
// left half done, as after any other kill.
static int take_over(struct container *c, int lock) {
  int holder = c->journal ? c->journal->holder : 0;
  if (!end_process(holder, holder ? c->journal->holder_start_time : 0)) return -ETIMEDOUT;
  warn("container %s: ended process %d, which had kept it locked for %d s", c->id, holder, LOCK_SECONDS);
  c->taken_over = 1;
  sys_close(c->dir);
  return container_open(c, lock);
}

static _Noreturn void fail_locked(const struct container *c, int holder) {
  if (holder)
    fail("container %s: process %d has kept it locked for %d s: wait for it, or have \"delete --force\" end both",
        c->id, holder, LOCK_SECONDS);
  fail("container %s: an unknown or unkillable process has kept it locked for %d s: find /proc/[0-9]*/fd -lname %s/%s",
      c->id, LOCK_SECONDS, c->root, c->id);
}

void fail_missing(const struct container *c) {
  logging.hint = "ocirt list shows the containers under the root directory, which --root names";
  fail("container does not exist: %s", c->id);
}

void need_container(struct container *c, struct request *q, int lock) {
  name_container(c, q);
  int error = container_open(c, lock);
  if (error == -ETIMEDOUT && q->flags[FLAG_FORCE]) error = take_over(c, lock);
  if (error == -ETIMEDOUT) fail_locked(c, c->journal && !q->flags[FLAG_FORCE] ? c->journal->holder : 0);
  // `delete --force` succeeds if there is nothing to delete.
  if (error == -ENOENT && q->flags[FLAG_FORCE]) end_verb(0);
  if (error == -ENOENT) fail_missing(c);
  if (error < 0) fail(c->dir < 0 ? "--root %s: open %s: %e" : "--root %s: lock %s: flock: %e", c->root, c->id, error);
  if (c->foreign && q->verb != VERB_UPDATE) compile_in_python(q, "@recompile", -1, 0, &c->program);
  fault_begin(native_verbs[q->verb].name);
}

int kill_init(struct container *c) {
  if (!container_hold(c)) return 0;
  int refused = sys_pidfd_signal(c->pidfd, SIGKILL);
  if (refused && refused != -ESRCH) return refused;
  if (sys_poll(c->pidfd, POLLIN, 100) == 1) return 0;
  // Init may be in uninterruptible sleep. Other verbs must not wait for the lock meanwhile.
  container_unlock(c);
  int ended = sys_poll(c->pidfd, POLLIN, END_SECONDS * 1000) == 1, error = container_relock(c);
  return error || ended ? error : -ETIMEDOUT;
}

int do_kill_init(struct run *r, const struct step_kill_init *s) {
  int error = kill_init(r->container);
  if (error != -ETIMEDOUT) return error ? failing(r, "pidfd_send_signal", error) : 0;
  format(&r->detail, "the container's first process has not ended for %d s since SIGKILL:", END_SECONDS);
  put_process(&r->detail, r->container->journal->pid, " ");
  put(&r->detail, "; it may wait for a file system or a device that does not answer, or for the parent of one in its "
                  "pid namespace");
  return failing(r, "", error);
}

void end_child(struct run *r) {
  sys_close(r->peer);
  if (r->child.pidfd < 0) return;
  sys_pidfd_signal(r->child.pidfd, SIGKILL);
  wait_exit(r->child.pidfd, 0);
}

int destroy_container(struct container *c, int hooks, struct buffer *text) {
  struct run r;
  int error = 0;
  c->ends = -1; // a signal must not cut the removal short
  fault_point();
  // A create that was cut off before it stored the program has made no process either.
  if (c->program.base) {
    run_begin(&r, c, SECTION_DELETE);
    r.hooks = hooks;
    error = run_section(&r);
    if (error == DELETED_MEANWHILE) return 0;
    if (error) return put_failure(text, &r, r.step, error);
  }
  error = container_remove(c);
  if (error) format(text, "--root %s: remove the state directory of %s: %e", c->root, c->id, error);
  return error ? -1 : 0;
}

void destroy_or_warn(struct container *c, int hooks) {
  STATIC_BUFFER(text, LOG_LINE);
  if (destroy_container(c, hooks, &text)) log_line("warning", text.data);
}

void lock_and_destroy(struct container *c, int hooks) {
  int error = container_lock(c);
  if (error == -ETIMEDOUT)
    warn("container %s is not deleted: another process has kept it locked for %d s", c->id, LOCK_SECONDS);
  // If the lock failed otherwise, another delete was first, and what has the same id now is another container.
  if (!error) destroy_or_warn(c, hooks);
}
