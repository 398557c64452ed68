// start, state, kill and delete: the stored program's short sections, without an interpreter.
#include "verbs/verbs.h"

#include <signal.h>
#include <string.h>
#include <sys/file.h>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "build-id.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "state/facts.h"
#include "state/state_json.h"
#include "verbs/lifecycle.h"

void verb_start(struct request *q, int program_fd) {
  struct container c = {0};
  need_container(&c, q, LOCK_EX, program_fd);
  fault_begin("start");
  const char *status = container_status(&c);
  if (!strcmp(status, "running")) fail("cannot start an already running container: %s", c.id);
  if (!strcmp(status, "stopped")) fail("cannot start a stopped container: %s", c.id);
  if (strcmp(status, "created")) fail("cannot start a container in the state %s: %s", status, c.id);
  STATIC_BUFFER(text, LOG_LINE);
  c.notify_host = environment_variable(q, "NOTIFY_SOCKET");
  if (start_container(&c, -1, &text)) {
    log_error(text.data);
    sys_exit(1);
  }
  end_verb(0);
}

void verb_state(struct request *q, int program_fd) {
  struct container c = {0};
  need_container(&c, q, 0, program_fd);
  struct buffer out = state_buffer(c.program.base && c.journal ? &c.program : 0);
  const char *status = container_status(&c);
  int pid = c.journal && strcmp(status, "stopped") ? c.journal->pid : 0;
  if (c.program.base && c.journal)
    put_state(&out, &c.program, c.journal, pid, status, 1, 0);
  else {
    // Cut off before its program was stored: only its id is known.
    format(&out,
        "{\n  \"ociVersion\": \"" SPEC_VERSION
        "\",\n  \"id\": %j,\n  \"pid\": 0,\n  \"status\": %j,\n  \"bundle\": \"\"\n}\n",
        c.id, status);
  }
  if (out.full) fail("the state of %s is too large", c.id);
  int error = write_all(1, out.data, out.used);
  if (error) fail("standard output: %e", error);
  end_verb(0);
}

static const char *const signal_names[] = {0, "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1",
    "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU",
    "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS"};

// By number or name, with or without SIG, in any case; RTMIN+N and RTMAX-N too. 0 asks whether it lives. -1: none such.
static int parse_signal(const char *text) {
  char name[16];
  int64_t number;
  if (!parse_number(text, &number)) return number >= 0 && number <= 64 ? (int)number : -1;
  size_t length = strlen(text);
  if (length >= sizeof name) return -1;
  for (size_t i = 0; i <= length; i++)
    name[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 32) : text[i];
  const char *bare = strncmp(name, "SIG", 3) ? name : name + 3;
  if (!strcmp(bare, "IOT")) return SIGABRT;
  if (!strcmp(bare, "CLD")) return SIGCHLD;
  if (!strcmp(bare, "POLL")) return SIGIO;
  for (int i = 1; i < (int)COUNT(signal_names); i++)
    if (!strcmp(bare, signal_names[i])) return i;
  int low = !strncmp(bare, "RTMIN", 5), high = !strncmp(bare, "RTMAX", 5);
  if (!low && !high) return -1;
  number = 0;
  if (bare[5] && (bare[5] != (low ? '+' : '-') || parse_number(bare + 6, &number) || number < 0 || number > 30))
    return -1;
  return (int)(low ? 34 + number : 64 - number);
}

// A section of the stored program; a failure ends the process. `signal` is for the section signal: how many got it is
// returned.
static int run_or_fail(struct container *c, unsigned section, int signal) {
  struct run r;
  const struct step *failed;
  run_begin(&r, c, section);
  r.signal = signal;
  int error = run_section(&r, &failed);
  if (!error) return r.signalled;
  STATIC_BUFFER(text, LOG_LINE);
  put_failure(&text, &r, failed, error);
  fail("%s", text.data);
}

// The step of `kill --all`; null: the container has no cgroup in which all of its processes are.
static const struct step_signal_cgroup *signal_step(const struct program *p) {
  if (!p->base || section_first(p, SECTION_SIGNAL) == section_end(p, SECTION_SIGNAL)) return 0;
  return (const void *)section_first(p, SECTION_SIGNAL);
}

void verb_kill(struct request *q, int program_fd) {
  struct container c = {0};
  const char *name = q->n_arguments > 1 ? q->arguments[1] : "TERM";
  int signal = parse_signal(name);
  need_container(&c, q, 0, program_fd);
  if (signal < 0)
    fail("unknown signal \"%s\": expected a name of signal(7), like TERM, or a number from 0 to 64", name);
  const char *status = container_status(&c);
  int alive = !strcmp(status, "running") || !strcmp(status, "created") || !strcmp(status, "paused");
  const struct step_signal_cgroup *step = strcmp(status, "creating") ? signal_step(&c.program) : 0;
  int asked = q->flags[FLAG_ALL] != 0;
  // Also after init's end: the others of a pid namespace that is not the container's own live on.
  if (step && (asked || (signal == SIGKILL && step->outlive))) {
    int signalled = run_or_fail(&c, SECTION_SIGNAL, signal);
    if ((asked && signal) || alive || signalled) end_verb(0);
  }
  if (asked && signal && !alive && c.program.base && strcmp(status, "creating")) end_verb(0);
  if (!alive) fail("container not running: %s is %s", c.id, status);
  int error = sys_pidfd_signal(c.pidfd, signal);
  if (error == -ESRCH) fail("container not running: %s: no such process", c.id);
  if (error < 0) fail("send signal %d to %s: pidfd_send_signal: %e", signal, c.id, error);
  // What is frozen ends only when it is thawed; any other signal waits for resume.
  if (signal == SIGKILL && is_paused(&c.program)) run_or_fail(&c, SECTION_RESUME, 0);
  end_verb(0);
}

void verb_pause(struct request *q, int program_fd) {
  struct container c = {0};
  need_container(&c, q, LOCK_EX, program_fd);
  fault_begin("pause");
  const char *status = container_status(&c);
  if (strcmp(status, "running") && strcmp(status, "created")) fail("container not running: %s is %s", c.id, status);
  if (section_first(&c.program, SECTION_PAUSE) == section_end(&c.program, SECTION_PAUSE))
    fail("cannot pause %s: it has no cgroup with a freezer", c.id);
  fault_point();
  run_or_fail(&c, SECTION_PAUSE, 0);
  end_verb(0);
}

void verb_resume(struct request *q, int program_fd) {
  struct container c = {0};
  need_container(&c, q, LOCK_EX, program_fd);
  fault_begin("resume");
  const char *status = container_status(&c);
  if (strcmp(status, "paused")) fail("container not paused: %s is %s", c.id, status);
  run_or_fail(&c, SECTION_RESUME, 0);
  end_verb(0);
}

// Undoes what was done before the step `failed` of the section update: restore has a step for each, the last one first.
static int set_back(struct run *r, const struct step *failed, const struct step **broken) {
  const struct step *step = section_first(r->program, SECTION_RESTORE), *end = section_end(r->program, SECTION_RESTORE);
  int to_pass_over = 0;
  for (const struct step *each = step; each < end; each = next_step(each))
    to_pass_over++;
  for (const struct step *done = section_first(r->program, SECTION_UPDATE); done < failed; done = next_step(done))
    to_pass_over--;
  for (; to_pass_over > 0; to_pass_over--)
    step = next_step(step);
  return run_steps(r, step, broken);
}

// Python has compiled the program, for a container that lives, and has taken the lock: `lock` is its descriptor.
void verb_update(struct request *q, int program_fd, int lock) {
  struct container c = {0};
  struct run r;
  const struct step *failed;
  if (lock < 0) fail("update: found no lock, expected that of Python");
  need_container(&c, q, 0, program_fd);
  fault_begin("update");
  fault_point();
  run_begin(&r, &c, SECTION_UPDATE);
  int error = run_section(&r, &failed);
  if (!error) end_verb(0);
  STATIC_BUFFER(text, LOG_LINE);
  put_failure(&text, &r, failed, error);
  run_begin(&r, &c, SECTION_RESTORE);
  error = set_back(&r, failed, &failed);
  if (error) {
    put(&text, "; not all could be set back: ");
    put_failure(&text, &r, failed, error);
  }
  fail("%s", text.data);
}

// Before the lock is waited for: a create still at work, or a start that waits for a hook inside, would keep it held.
static void end_by_force(struct container *c) {
  if (c->journal && c->journal->phase == PHASE_CREATING)
    end_process(c->journal->creator, c->journal->creator_start_time);
  // Not waited for here: a frozen one ends only when the delete section has thawed it.
  if (container_hold(c)) sys_pidfd_signal(c->pidfd, SIGKILL);
}

void verb_delete(struct request *q, int program_fd) {
  struct container c = {0};
  int force = q->flags[FLAG_FORCE] != 0;
  if (force) {
    struct container busy = {0};
    name_container(&busy, q);
    if (container_open(&busy, 0) == 0) end_by_force(&busy);
    sys_close(busy.dir);
  }
  need_container(&c, q, LOCK_EX, program_fd);
  fault_begin("delete");
  const char *status = container_status(&c);
  const char *as = q->flags[FLAG_AS];
  int ends_created = as && !strcmp(as, "runc") && !strcmp(status, "created"); // DELETES_CREATED in model/peers.py
  if (!force && !ends_created && strcmp(status, "stopped"))
    fail("cannot delete container %s that is not stopped: %s", c.id, status);
  STATIC_BUFFER(text, LOG_LINE);
  int begun = c.journal && (c.journal->phase != PHASE_CREATING || c.journal->hooks_run);
  if (destroy_container(&c, begun, &text)) {
    log_error(text.data);
    sys_exit(1);
  }
  end_verb(0);
}
