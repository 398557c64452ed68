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

static const struct dbus_target manager = {"org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                    "org.freedesktop.systemd1.Manager"},
                                daemon = {"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"},
                                peer = {"org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                    "org.freedesktop.DBus.Peer"};

#define MATCH \
  "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"

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

static uint32_t call(struct job *job, const struct dbus_target *to, const char *member, int flags,
    const char *signature, const char **items, uint32_t count) {
  return dbus_call(&job->out, to, member, flags, signature, &(struct texts){items, count}, 0);
}

// The job is static because it is too large for the stack. A process has one conversation at a time.
static struct job *greet_manager(const char *socket, const char *unit, int64_t seconds, int64_t on_bus, int64_t owner) {
  static COLD_BSS struct job job;
  job.socket = socket;
  job.unit = unit;
  job.seconds = seconds;
  *job.result = 0;
  job.last = 0;
  dbus_authenticate(&job.out, owner);
  if (on_bus) call(&job, &daemon, "Hello", 0, 0, 0, 0);
  return &job;
}

// The manager sends its signals to its own connections anyway, and to a bus if somebody has subscribed.
static void prepare_job(struct job *job, int64_t on_bus) {
  if (on_bus) call(job, &daemon, "AddMatch", NO_REPLY, "s", (const char *[]){"s", MATCH}, 2);
  if (on_bus) call(job, &manager, "Subscribe", NO_REPLY, 0, 0, 0);
  // A failed unit of this name would otherwise be in the way of a new one.
  call(job, &manager, "ResetFailedUnit", NO_REPLY, "s", (const char *[]){"s", job->unit}, 2);
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
  sys_close(job->bus.fd);
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
  struct job *job = greet_manager(TEXT(socket), TEXT(unit), NUMBER(timeout), NUMBER(bus), NUMBER(owner));
  prepare_job(job, NUMBER(bus));
  job->serial = dbus_call(&job->out, &manager, "StartTransientUnit", 0, "ssa(sv)a(sa(sv))", TEXTS(body), r->child.pid);
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
// a second call.
int do_set_unit_properties(struct run *r, const struct step_set_unit_properties *s) {
  struct job *job = greet_manager(TEXT(socket), TEXT(unit), NUMBER(timeout), NUMBER(bus), NUMBER(owner));
  job->serial = dbus_call(&job->out, &manager, "SetUnitProperties", 0, "sba(sv)", TEXTS(body), 0);
  job->last = call(job, &peer, "Ping", 0, 0, 0, 0);
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
  struct job *job = greet_manager(TEXT(socket), TEXT(unit), NUMBER(timeout), NUMBER(bus), NUMBER(owner));
  prepare_job(job, NUMBER(bus));
  job->serial = call(job, &manager, "StopUnit", 0, "ss", (const char *[]){"s", TEXT(unit), "s", "replace"}, 4);
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
