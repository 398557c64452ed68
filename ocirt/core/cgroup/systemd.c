// Steps on systemd's units: a scope (or slice) for the container, asked for over D-Bus.

#include <string.h>

#include "base/log.h"
#include "cgroup/cgroup2.h"
#include "cgroup/dbus.h"
#include "cgroup/hierarchy.h"
#include "cgroup/remove.h"
#include "cgroup/tree.h"
#include "executor/execute.h"

static const struct dbus_target manager = {"org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                    "org.freedesktop.systemd1.Manager"},
                                daemon = {"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"},
                                peer = {"org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                    "org.freedesktop.DBus.Peer"};

#define MATCH \
  "type='signal',sender='org.freedesktop.systemd1',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'"

static struct wire out;

static struct dbus bus;

// What a job for a unit came to; with `last`, the serial of a call after it, there is no job: its answer is the end.
struct job {
  const char *socket;
  int64_t seconds;
  char result[64];
  uint32_t last;
};

static uint32_t call(const char *member, int flags, const char *signature, const char *const *items, uint32_t count) {
  struct texts body = {(const char **)items, count};
  return dbus_call(&out, &manager, member, flags, signature, &body, 0);
}

static void greet_manager(int64_t on_bus, int64_t owner) {
  out = (struct wire){0};
  dbus_authenticate(&out, owner);
  if (on_bus) dbus_call(&out, &daemon, "Hello", 0, 0, 0, 0);
}

static void begin(const char *unit, int64_t on_bus, int64_t owner) {
  greet_manager(on_bus, owner);
  if (on_bus) {
    const char *rule[] = {"s", MATCH};
    struct texts match = {rule, COUNT(rule)};
    dbus_call(&out, &daemon, "AddMatch", NO_REPLY, "s", &match, 0);
  }
  call("Subscribe", NO_REPLY, 0, 0, 0);
  // What a failed unit has left would be in the way, as the name of one that is there.
  const char *failed[] = {"s", unit};
  call("ResetFailedUnit", NO_REPLY, "s", failed, COUNT(failed));
}

// Waits for the job that the call made: 0 once it has ended, -EREMOTEIO where systemd refuses: its words are in the
// detail.
static int wait_job(struct run *r, uint32_t serial, const char *unit, struct job *job) {
  struct dbus_message m;
  char ours[256] = "", early[256] = "";
  for (;;) {
    int error = dbus_next(&bus, &m);
    if (error) return error;
    if (m.type == DBUS_ERROR && m.reply_to == serial) {
      const char *text = dbus_text(&m);
      put(&r->detail, text && *text ? text : m.error);
      return -EREMOTEIO;
    }
    if (job->last && m.reply_to == job->last) return 0;
    if (m.type == DBUS_RETURN && m.reply_to == serial && !job->last) {
      const char *path = dbus_text(&m);
      if (!path || !*path || strlen(path) >= sizeof ours) return -EPROTO;
      strcpy(ours, path);
    } else if (m.type == DBUS_SIGNAL && !strcmp(m.member, "JobRemoved")) {
      dbus_number(&m);
      const char *path = dbus_text(&m), *name = path ? dbus_text(&m) : 0, *result = name ? dbus_text(&m) : 0;
      if (!result || strcmp(name, unit) || strlen(path) >= sizeof early || strlen(result) >= sizeof job->result)
        continue;
      strcpy(early, path);
      strcpy(job->result, result);
    } else
      continue;
    // The end of the job may be told before its name is.
    if (*ours && !strcmp(ours, early)) return 0;
  }
}

static int converse(struct run *r, uint32_t serial, const char *unit, struct job *job) {
  int error = dbus_open(&bus, job->socket, &out, job->seconds), connected = !error;
  if (connected) {
    error = wait_job(r, serial, unit, job);
    sys_close(bus.fd);
    bus.fd = -1;
  }
  if (error == -ETIMEDOUT)
    format(&r->detail, "systemd has not answered at %s for %l s", job->socket, job->seconds);
  else if (error && !connected)
    format(&r->detail, "connect to systemd's socket %s: %e", job->socket, error);
  else if (error && error != -EREMOTEIO)
    format(&r->detail, "the answer of %s: %e", job->socket, error);
  return error && !connected && error != -ETIMEDOUT ? -EREMOTEIO : error;
}

// The error of a step whose conversation has failed, with what that has left in the detail.
static int unit_error(struct run *r, const struct step *head, const char *what, const char *unit, int error) {
  BUFFER(said, 1024);
  format(&said, "%s%s%s: %s", text_of(r->program, head->at), what, unit, r->detail.data);
  r->detail.used = 0;
  put(&r->detail, said.data);
  return failing(r, "", error);
}

// Has systemd put the child where the plan says that it does? All later steps act there.
static int check_place(struct run *r, const char *path) {
  char text[8192], *line = systemd_path(r->child.pid, text, sizeof text);
  if (line && !strcmp(line, path)) return 0;
  format(&r->detail, "systemd has put it into the cgroup %s, expected %s", line ? line : "(none)", path);
  return failing(r, "check", -EXDEV);
}

int do_start_unit(struct run *r, const struct step_start_unit *s) {
  const char *unit = TEXT(unit);
  struct job job = {.socket = TEXT(socket), .seconds = NUMBER(timeout)};
  struct effect *effect = need_effect(r, effect_key(job.socket, unit));
  if (!effect) return -E2BIG;
  begin(unit, NUMBER(bus), NUMBER(owner));
  uint32_t serial = dbus_call(&out, &manager, "StartTransientUnit", 0, "ssa(sv)a(sa(sv))", TEXTS(body), r->child.pid);
  effect->state = EFFECT_INTENDED;
  int error = converse(r, serial, unit, &job);
  if (!error && strcmp(job.result, "done")) {
    format(&r->detail, "systemd's job for it has ended with the result %s", job.result);
    error = -EREMOTEIO;
  }
  if (error) {
    // The child ends now, and with it whatever systemd still makes of the call.
    effect->state = EFFECT_UNDONE;
    return unit_error(r, &s->head, ": start the systemd unit ", unit, error);
  }
  effect->state = EFFECT_MINE;
  // Not before: until then a cgroup of this name is another's.
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  error = use_cgroup(r, TEXT(hierarchy), TEXT(path), dir);
  return error ? error : check_place(r, TEXT(path));
}

// Systemd writes cgroups once it has answered, but before it reads another message: so a second one is waited for.
int do_set_unit_properties(struct run *r, const struct step_set_unit_properties *s) {
  struct job job = {.socket = TEXT(socket), .seconds = NUMBER(timeout)};
  greet_manager(NUMBER(bus), NUMBER(owner));
  uint32_t serial = dbus_call(&out, &manager, "SetUnitProperties", 0, "sba(sv)", TEXTS(body), 0);
  job.last = dbus_call(&out, &peer, "Ping", 0, 0, 0, 0);
  int error = converse(r, serial, TEXT(unit), &job);
  return error ? unit_error(r, &s->head, ": change the systemd unit ", TEXT(unit), error) : 0;
}

// Whatever happens here, the cgroup is empty by now, and systemd removes an empty scope by itself, sooner or later.
int do_stop_unit(struct run *r, const struct step_stop_unit *s) {
  const char *unit = TEXT(unit);
  struct job job = {.socket = TEXT(socket), .seconds = NUMBER(timeout)};
  struct effect *effect = effect_of(r->container->journal, effect_key(job.socket, unit), 0);
  if (!effect || !effect->state || effect->state == EFFECT_UNDONE) return 0;
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  // Cut off before systemd's answer, the unit may be another's, whose name this container wanted: ours has no process.
  if (effect->state == EFFECT_INTENDED && dir >= 0 && is_populated(dir)) {
    effect->state = EFFECT_UNDONE;
    return 0;
  }
  begin(unit, NUMBER(bus), NUMBER(owner));
  const char *body[] = {"s", unit, "s", "replace"};
  int error = converse(r, call("StopUnit", 0, "ss", body, COUNT(body)), unit, &job);
  // Refused: it is gone already.
  if (error && error != -EREMOTEIO) {
    BUFFER(said, LOG_LINE);
    format(&said, "stop the systemd unit %s: %s", unit, r->detail.data);
    log_line("warning", said.data);
  }
  r->detail.used = 0;
  // Systemd goes down by path, and leaves what is nested deeper than a path can be long.
  error = dir < 0 ? 0 : remove_left(r, TEXT(hierarchy), TEXT(path), dir);
  if (error && error != -ENOENT) return failing(r, "rmdir", error);
  effect->state = EFFECT_UNDONE;
  return 0;
}
