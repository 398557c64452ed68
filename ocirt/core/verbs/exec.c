// exec runs a further process in a container that exists. A stage joins the container's namespaces by the pidfd of
// init, and clones the process as a child of the runtime (docs/architecture.md, "exec").
#include "verbs/exec.h"

#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/processes.h"
#include "base/wait.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "launch/descriptors.h"
#include "launch/python.h"
#include "state/facts.h"
#include "state/status_fd.h"
#include "verbs/foreground.h"
#include "verbs/lifecycle.h"
#include "verbs/start.h"

// Delete removes the journal before the program, and both before the directory.
static int is_being_deleted(const struct container *c) {
  struct stat st;
  return !c->journal && (c->program.base || c->foreign || (sys_fstat(c->dir, &st) == 0 && !st.st_nlink));
}

void need_running(struct container *c, struct request *q) {
  name_container(c, q);
  int error = container_open(c, 0);
  if (!error && is_being_deleted(c)) fail("cannot exec in a stopped container: %s has just been deleted", c->id);
  if (error == -ENOENT) fail_missing(c);
  if (error < 0) fail("--root %s: open %s: %e", c->root, c->id, error);
  const char *status = container_status(c);
  if (!strcmp(status, "stopped")) fail("cannot exec in a stopped container: %s", c->id);
  if (!strcmp(status, "creating")) fail("cannot exec in a container in the state creating: %s", c->id);
  // Init of a late container keeps the runtime's rights until start: nothing else may run beside it.
  if (c->journal->phase == PHASE_CREATED && is_late(c)) fail("cannot exec in a late container before start: %s", c->id);
}

void verb_exec(struct request *q, struct container *c, const struct program *program) {
  static struct run r;
  c->program = *program;
  c->holes = q->holes;
  keep_for_program(q);
  fault_begin("exec");
  run_begin(&r, c, SECTION_HOST);
  r.joins = 1;
  // The child writes its phase to a page of its own, not to the container's journal: the container may still wait for
  // start, and other execs may be at work.
  uint32_t *told = mmap(0, 2 * sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (told == MAP_FAILED) fail("mmap: %e", -ENOMEM);
  r.child.runs = told;
  r.child.phase = told + 1;
  int error = run_section(&r);
  if (error) {
    BUFFER(text, LOG_LINE);
    put_failure(&text, &r, r.step, error);
    end_child(&r);
    if (is_readable(c->pidfd) && !strstr(text.data, "stopped container")) put(&text, " (the container has just ended)");
    fail("%s", text.data);
  }
  struct foreground_process child = {
      .container = c, .pid = r.child.pid, .pidfd = r.child.pidfd, .signals = r.signals, .master = r.console};
  read_start_time(child.pid, &child.start_time, 0);
  note_throttling(program);
  await_python(q);
  log_commit();
  if (r.signals >= 0) end_verb(run_in_foreground(&child));
  leave_process(child.pid, child.start_time);
}
