#include "verbs/kill.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/trace.h"
#include "state/facts.h"
#include "verbs/lifecycle.h"
#include "verbs/verbs.h"

#define SIGNAL_MAX 64

static const struct {
  const char *name;
  int number;
} signals[] = {SIGNALS};

// The signal by its number or name, with or without SIG, in any case; 0 asks whether the container lives. -1: the text
// names no signal.
static int parse_signal(const char *text) {
  int64_t number;
  if (!parse_number(text, &number)) return number >= 0 && number <= SIGNAL_MAX ? (int)number : -1;
  const char *bare = strncasecmp(text, "SIG", 3) ? text : text + 3;
  for (unsigned i = 0; i < COUNT(signals); i++)
    if (!strcasecmp(bare, signals[i].name)) return signals[i].number;
  return -1;
}

// The step of `kill --all`; null: the container has no cgroup that holds all of its processes.
static const struct step_signal_cgroup *signal_step(const struct program *p) {
  return p->base && section_count(p, SECTION_SIGNAL) ? (const void *)section_first(p, SECTION_SIGNAL) : 0;
}

void verb_kill(struct request *q) {
  struct container c = {.marks = 1};
  const char *name = q->n_arguments > 1 ? q->arguments[1] : "TERM";
  int signal = parse_signal(name);
  need_container(&c, q, 0);
  if (signal < 0)
    fail("unknown signal \"%s\": expected a name of signal(7), like TERM, or a number from 0 to 64", name);
  const char *status = container_status(&c);
  int alive = !strcmp(status, "running") || !strcmp(status, "created") || !strcmp(status, "paused");
  if (alive && signal) c.journal->sent = (uint32_t)signal;
  const struct step_signal_cgroup *step = strcmp(status, "creating") ? signal_step(&c.program) : 0;
  int asked = q->flags[FLAG_ALL] != 0;
  // Also after init's end: if the pid namespace is not the container's own, its other processes live on.
  if (step && (asked || (signal == SIGKILL && step->outlive))) {
    int signalled = run_or_fail(&c, SECTION_SIGNAL, signal);
    if ((asked && signal) || alive || signalled) end_verb(0);
  }
  if (asked && signal && !alive && c.program.base && strcmp(status, "creating")) end_verb(0);
  if (!alive) fail("container not running: %s is %s", c.id, status);
  if (logging.debug) log_line("debug", "kill: send the signal to the container's first process (pidfd_send_signal)");
  TRACED("step", "pidfd_send_signal", name);
  int error = sys_pidfd_signal(c.pidfd, signal);
  if (error == -ESRCH) fail("container not running: %s: no such process", c.id);
  if (error < 0) fail("send signal %d to %s: pidfd_send_signal: %e", signal, c.id, error);
  // A frozen process ends only after it is thawed. Any other signal waits for resume.
  if (signal == SIGKILL && is_paused(&c.program)) run_or_fail(&c, SECTION_RESUME, 0);
  end_verb(0);
}
