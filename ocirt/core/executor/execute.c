// Runs the steps of a section in order, until the first failure.
#include "executor/execute.h"

#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/trace.h"
#include "base/socket.h"
#include "executor/child.h"
#include "executor/failure.h"
#include "executor/start_protocol.h"

struct effect *need_effect(struct run *r, uint64_t key) {
  struct effect *effect = effect_of(r->container->journal, key, 1);
  if (effect) return effect;
  format(&r->detail, "the journal has room for %d cgroups, units and groups of one container, and for no more",
      JOURNAL_EFFECTS);
  failing(r, "journal", -E2BIG);
  return 0;
}

void run_begin(struct run *r, struct container *c, unsigned section) {
  memset(r, 0, sizeof *r);
  r->container = c;
  r->program = &c->program;
  r->section = section;
  if (c->journal) {
    r->child.runs = &c->journal->child_runs;
    r->child.phase = &c->journal->phase;
  }
  for (unsigned i = 0; i < REGISTERS; i++)
    r->fds[i] = -1;
  r->space = r->top = r->own = r->cgroupfs = r->peer = r->proc = r->rootfs = r->null = r->empty = r->child.pidfd =
      r->console = r->start_socket = r->starter = r->child.entry = r->signals = r->pid_file = -1;
  r->detail = (struct buffer){r->detail_data, sizeof r->detail_data, 0, 0};
}

int run_section(struct run *r) { return run_steps(r, section_first(r->program, r->section)); }

int run_steps(struct run *r, const struct step *step) {
  const struct step *end = section_end(r->program, r->section);
  while (step < end) {
    r->call = 0;
    r->step = step;
    if (step->code == STEP_SPAWN) r->spawn = step;
    struct trace_event *event = begin_step(r, step);
    int error = handlers[step->code](r, step);
    trace_end(event, error);
    if (error < 0 && killed_at_birth(r)) {
      step = r->spawn;
      continue;
    }
    if (error < 0) return error == -ECANCELED ? error : earlier_report(r, error);
    fault_point();
    step = next_step(step);
  }
  return 0;
}

void run_or_report(struct run *r, unsigned section) {
  r->section = section;
  int error = run_section(r);
  if (error < 0) child_failed(r, error);
}

static int has_request(int connection) {
  struct start_request request;
  int file;
  long n = receive_rights(connection, &request, sizeof request, &file, 1);
  if (n != sizeof request || request.version != START_VERSION) return 0;
  trace_join(file, request.told >> 1);
  logging.debug = request.told & 1;
  return 1;
}

// `run` sends the request over the socket between the runtime and init. `create` only closes that socket, and the
// journal says whether it has committed first; `start` then connects to the start socket. Init takes one connection at
// a time, and ignores one that closes without a request.
static void wait_for_start(struct run *r) {
  int asked = has_request(r->peer);
  if (__atomic_load_n(r->child.phase, __ATOMIC_SEQ_CST) != PHASE_CREATED || asked != (r->start_socket < 0)) sys_exit(1);
  if (asked) {
    r->starter = r->peer;
    return;
  }
  sys_close(r->peer);
  trace_forget();
  do {
    sys_close(release(&r->starter)); // a connection without a request
    r->starter = (int)sys4(SYS_accept4, r->start_socket, 0, 0, SOCK_CLOEXEC);
    if (r->starter < 0 && r->starter != -EINTR && r->starter != -ECONNABORTED) sys_exit(1);
  } while (r->starter < 0 || !has_request(r->starter));
  sys_close(r->start_socket);
}

void run_child(struct run *r, unsigned section) {
  r->section = section;
  // The child closes the runtime's own descriptors: they must not reach a foreign namespace, nor keep the lock held.
  sys_close(r->container->dir);
  r->container->dir = r->container->ends = -1;
  sys_close(release(&r->cgroupfs));
  trace_become(section);
  if (section == SECTION_INIT) sys0(SYS_setsid);
  if (r->child.entry >= 0) {
    long error = sys_write(r->child.entry, "0", 1);
    sys_close(release(&r->child.entry)); // init makes its own children in this cgroup
    if (error < 0) child_failed(r, failing(r, "write cgroup.procs", (int)error));
  }
  run_or_report(r, section);
  if (section == SECTION_STAGE) sys_exit(0);

  wait_for_start(r);
  run_or_report(r, SECTION_EXEC_PROGRAM);
  sys_exit(1);
}
