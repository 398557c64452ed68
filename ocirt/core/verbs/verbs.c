#include "verbs/verbs.h"

#include <signal.h>
#include <string.h>
#include <sys/file.h>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/need.h"
#include "build-id.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "state/facts.h"
#include "state/state_json.h"
#include "verbs/lifecycle.h"
#include "verbs/start.h"

void verb_start(struct request *q) {
  struct container c = {0};
  need_container(&c, q, LOCK_EX);
  const char *status = container_status(&c);
  if (!strcmp(status, "running")) fail("cannot start an already running container: %s", c.id);
  if (strcmp(status, "created")) fail("cannot start a %s container: %s", status, c.id);
  STATIC_BUFFER(text, LOG_LINE);
  c.notify_host = environment_variable(q, "NOTIFY_SOCKET");
  struct late late = late_values(&c, q);
  int error = start_container(&c, &late, -1, &text);
  note_throttling(&c.program);
  if (error) fail("%s", text.data);
  end_verb(0);
}

void verb_state(struct request *q) {
  struct container c = {0};
  need_container(&c, q, 0);
  const char *status = container_status(&c);
  int pid = c.journal && strcmp(status, "stopped") ? c.journal->pid : 0;
  // Without them create was cut off before it stored the program: only the id is known.
  int is_stored = c.program.base && c.journal;
  struct buffer out = is_stored ? state_json(&c.program, c.journal, pid, status, c.dir, 0) : arena_buffer(LOG_LINE);
  if (!is_stored)
    format(&out,
        "{\n  \"ociVersion\": \"" SPEC_VERSION
        "\",\n  \"id\": %j,\n  \"pid\": 0,\n  \"status\": %j,\n  \"bundle\": \"\"\n}\n",
        c.id, status);
  if (out.full) fail("the state of %s is too large", c.id);
  int error = write_all(1, out.data, out.used);
  if (error) fail("standard output: %e", error);
  end_verb(0);
}

int run_or_fail(struct container *c, unsigned section, int signal) {
  struct run r;
  run_begin(&r, c, section);
  r.signal = signal;
  int error = run_section(&r);
  if (!error) return r.signalled;
  STATIC_BUFFER(text, LOG_LINE);
  put_failure(&text, &r, r.step, error);
  fail("%s", text.data);
}

void verb_pause(struct request *q) {
  struct container c = {0};
  need_container(&c, q, LOCK_EX);
  const char *status = container_status(&c);
  if (strcmp(status, "running") && strcmp(status, "created")) fail("container not running: %s is %s", c.id, status);
  if (!section_count(&c.program, SECTION_PAUSE)) fail("cannot pause %s: it has no cgroup with a freezer", c.id);
  fault_point();
  run_or_fail(&c, SECTION_PAUSE, 0);
  end_verb(0);
}

void verb_resume(struct request *q) {
  struct container c = {0};
  need_container(&c, q, LOCK_EX);
  const char *status = container_status(&c);
  if (strcmp(status, "paused")) fail("container not paused: %s is %s", c.id, status);
  run_or_fail(&c, SECTION_RESUME, 0);
  end_verb(0);
}

// Ends the creator and init before the verb waits for the lock, which a create that is still at work, or a start that
// waits for a hook of the image, would keep.
static void end_by_force(struct container *c) {
  if (c->journal && c->journal->phase == PHASE_CREATING)
    end_process(c->journal->creator, c->journal->creator_start_time);
  // The verb does not wait for init here: a frozen one ends only after the section delete has thawed it.
  if (container_hold(c)) sys_pidfd_signal(c->pidfd, SIGKILL);
}

void verb_delete(struct request *q) {
  struct container c = {0};
  int force = q->flags[FLAG_FORCE] != 0;
  if (force) {
    struct container busy = {0};
    name_container(&busy, q);
    if (container_open(&busy, 0) == 0) end_by_force(&busy);
    sys_close(busy.dir);
  }
  need_container(&c, q, LOCK_EX);
  const char *status = container_status(&c), *as = q->flags[FLAG_AS];
  note_throttling(&c.program);
  int ends_created = as && !strcmp(as, "runc") && !strcmp(status, "created"); // DELETES_CREATED in model/peers.py
  if (!force && !ends_created && strcmp(status, "stopped"))
    fail("cannot delete container %s that is not stopped: %s", c.id, status);
  STATIC_BUFFER(text, LOG_LINE);
  int begun = c.journal && (c.journal->phase != PHASE_CREATING || c.journal->hooks_run);
  if (destroy_container(&c, begun, &text)) fail("%s", text.data);
  end_verb(0);
}
