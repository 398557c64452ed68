// Steps on systemd's units: a scope (or slice) for the container, asked for over D-Bus.

#include <string.h>

#include "base/log.h"
#include "cgroup/cgroup2.h"
#include "cgroup/dbus.h"
#include "cgroup/hierarchy.h"
#include "cgroup/remove.h"
#include "cgroup/tree.h"
#include "executor/execute.h"
#include "executor/failure.h"

// A conversation with systemd, and the result of a job for `unit`. If `last` is not 0, there is no job: the
// conversation ends with the answer to the call of that serial.
struct job {
  const char *socket, *unit;
  int64_t seconds;
  char result[64];
  uint32_t serial, last;
  struct dbus bus;
  struct wire out;
};

// Prepares a conversation, which the last of the calls concerns. It is static because it is too large for the stack. A
// process has one at a time; the steps after StartUnit may have failed before AwaitUnit has ended that one.
static struct job *make_job(
    const char *socket, const char *unit, int64_t seconds, const char *greeting, const struct texts *calls, int pid) {
  static COLD_BSS struct job job;
  if (job.socket) sys_close(job.bus.fd);
  job.bus.fd = -1;
  job.socket = socket;
  job.unit = unit;
  job.seconds = seconds;
  *job.result = 0;
  job.last = 0;
  dbus_calls(&job.out, greeting, calls, pid);
  job.serial = job.out.serial;
  return &job;
}

// Waits for the end of the job of the call `serial`: 0, or a negative errno; -EREMOTEIO if systemd refuses, with its
// words in the detail.
static int wait_job(struct run *r, struct job *job) {
  struct dbus_message m;
  char ours[256] = "", early[256] = "";
  // Systemd may report the end of the job before its name.
  while (!*ours || strcmp(ours, early)) {
    int error = dbus_next(&job->bus, &m);
    if (error) return error;
    if (m.type == DBUS_ERROR && m.reply_to == job->serial) {
      const char *text = dbus_text(&m);
      put(&r->detail, text && *text ? text : m.error);
      return -EREMOTEIO;
    }
    if (job->last && m.reply_to == job->last) return 0;
    if (m.type == DBUS_RETURN && m.reply_to == job->serial && !job->last) {
      const char *path = dbus_text(&m);
      if (!path || !*path || strlen(path) >= sizeof ours) return -EPROTO;
      strcpy(ours, path);
    } else if (m.type == DBUS_SIGNAL && !strcmp(m.member, "JobRemoved")) {
      dbus_number(&m);
      const char *path = dbus_text(&m), *name = path ? dbus_text(&m) : 0, *result = name ? dbus_text(&m) : 0;
      if (!result || strcmp(name, job->unit) || strlen(path) >= sizeof early || strlen(result) >= sizeof job->result)
        continue;
      strcpy(early, path);
      strcpy(job->result, result);
    }
  }
  return 0;
}

// Puts the reason of a failed conversation in the detail, which has it if systemd has refused.
static int explain(struct run *r, const struct job *job, const char *what, int error) {
  if (error == -ETIMEDOUT)
    format(&r->detail, "systemd has not answered at %s for %l s", job->socket, job->seconds);
  else if (error && error != -EREMOTEIO)
    format(&r->detail, "%s %s: %e", what, job->socket, error);
  return error;
}

static int send_job(struct run *r, struct job *job) {
  int error = dbus_open(&job->bus, job->socket, &job->out, job->seconds);
  explain(r, job, "connect to systemd's socket", error);
  return !error || error == -ETIMEDOUT ? error : -EREMOTEIO;
}

static int finish_job(struct run *r, struct job *job) {
  int error = wait_job(r, job);
  sys_close(release(&job->bus.fd));
  return explain(r, job, "the answer of", error);
}

static int converse(struct run *r, struct job *job) {
  int error = send_job(r, job);
  return error ? error : finish_job(r, job);
}

// The failure of a step whose conversation has failed, with the reason from the detail.
static int unit_error(struct run *r, const char *what, const char *unit, int error) {
  return whole_failure(
      r, error, "%s: %s the systemd unit %s: %s", text_of(r->program, r->step->at), what, unit, r->detail.data);
}

// Checks that systemd has put the child into the cgroup of the plan, on which all later steps act.
static int check_place(struct run *r, const char *mark, const char *path) {
  char text[8192], *line = path_in(r->child.pid, mark, text, sizeof text);
  if (line && !strcmp(line, path)) return 0;
  format(&r->detail, "systemd has put it into the cgroup %s, expected %s", line ? line : "(none)", path);
  return failing(r, "check", -EXDEV);
}

// The child ends when the step fails, and with it a scope that systemd may still make.
static int not_started(struct run *r, struct effect *effect, const char *unit, int error) {
  effect->state = EFFECT_UNDONE;
  return unit_error(r, "start", unit, error);
}

int do_start_unit(struct run *r, const struct step_start_unit *s) {
  struct effect *effect = need_effect(r, effect_key(TEXT(socket), TEXT(unit)));
  if (!effect) return -E2BIG;
  struct job *job = make_job(TEXT(socket), TEXT(unit), NUMBER(timeout), TEXT(greeting), TEXTS(calls), r->child.pid);
  effect->state = EFFECT_INTENDED;
  r->job = job;
  int error = send_job(r, job);
  return error ? not_started(r, effect, job->unit, error) : 0;
}

int do_await_unit(struct run *r, const struct step_await_unit *s) {
  struct job *job = r->job;
  struct effect *effect = need_effect(r, effect_key(job->socket, job->unit));
  if (!effect) return -E2BIG;
  int error = finish_job(r, job);
  if (!error && strcmp(job->result, "done")) {
    format(&r->detail, "systemd's job for it has ended with the result %s", job->result);
    error = -EREMOTEIO;
  }
  if (error) return not_started(r, effect, job->unit, error);
  effect->state = EFFECT_MINE;
  // Only after check_place(): before, a cgroup of this name may be another's.
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  error = use_cgroup(r, TEXT(hierarchy), TEXT(path), dir);
  return error ? error : check_place(r, TEXT(mark), TEXT(path));
}

// Systemd writes cgroups after its answer, but before it reads another message. So the runtime waits for the answer to
// the call after SetUnitProperties.
int do_set_unit_properties(struct run *r, const struct step_set_unit_properties *s) {
  struct job *job = make_job(TEXT(socket), TEXT(unit), NUMBER(timeout), TEXT(greeting), TEXTS(calls), 0);
  job->last = job->serial--;
  int error = converse(r, job);
  return error ? unit_error(r, "change", TEXT(unit), error) : 0;
}

// A failed call only gives a warning: the cgroup is empty by now, and systemd removes an empty scope by itself.
int do_stop_unit(struct run *r, const struct step_stop_unit *s) {
  struct effect *effect = effect_of(r->container->journal, effect_key(TEXT(socket), TEXT(unit)), 0);
  if (!effect || !effect->state || effect->state == EFFECT_UNDONE) return 0;
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  // If create was killed before systemd answered, the unit of this name may be another's. A unit of this container's
  // has no process.
  if (effect->state == EFFECT_INTENDED && dir >= 0 && is_populated(dir)) {
    effect->state = EFFECT_UNDONE;
    return 0;
  }
  struct job *job = make_job(TEXT(socket), TEXT(unit), NUMBER(timeout), TEXT(greeting), TEXTS(calls), 0);
  int error = converse(r, job);
  // Systemd refuses if the unit is gone already.
  if (error && error != -EREMOTEIO) warn("stop the systemd unit %s: %s", TEXT(unit), r->detail.data);
  r->detail.used = 0;
  // Systemd removes cgroups by path, and leaves those that are nested too deep for a path.
  error = dir < 0 ? 0 : remove_left(r, TEXT(hierarchy), TEXT(path), dir);
  if (error && error != -ENOENT) return failing(r, "rmdir", error);
  effect->state = EFFECT_UNDONE;
  return 0;
}
