// Writes the state of a container as JSON, for hooks, callers and state.json.
#include "state/state_json.h"

#include <signal.h>
#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/need.h"
#include "build-id.h"
#include "state/facts.h"

// A buffer large enough for the state: escaping turns a byte into at most six. Names, numbers, dates, the path of a
// cgroup and the reason of the end take the rest.
static struct buffer state_buffer(const struct facts *f) {
  size_t escaped = 6 * (strlen(f->id) + strlen(f->bundle) + strlen(f->rootfs));
  return arena_buffer(65536 + escaped + strlen(f->annotations) + strlen(f->request));
}

// The members that only the runtime reads, this build or a later one. FROZEN: docs/architecture.md, "State directory".
static void put_own_members(struct buffer *to, const struct facts *f, const struct journal *j) {
  format(to, ",\"version\":1,\"build\":%j,\"pidStartTime\":%l,\"request\":%s", BUILD_ID, (int64_t)j->start_time,
      f->request);
  if (!*f->paused_file) return;
  BUFFER(file, 4096);
  format(&file, "%s%s/%s", f->freezer_hierarchy, f->freezer_path, f->paused_file);
  format(to, ",\"pausedFile\":%j", file.data);
}

// Why init has ended, as far as the journal and the cgroups tell: `ocirt why` tells more.
static void put_why(struct buffer *to, const struct journal *j, int64_t killed, int dir) {
  char text[4096];
  int status = (int)(j->end & ~(END_KNOWN | END_SENT)), signal = status & 0x7f;
  if (read_file(dir, "failure", text, sizeof text) > 0)
    format(to, "the runtime could not start the program: %s", text);
  else if (killed && (!j->end || signal == SIGKILL))
    put(to, "out of memory");
  else if (j->end)
    format(to, "%s %d%s", signal ? "signal" : "exit status", signal ? signal : status >> 8,
        j->end & END_SENT ? ", sent by ocirt kill" : "");
}

// The annotations of config.json and, last, so that none of them can pose as it, the reason of the end.
static void put_annotations(struct buffer *to, const char *given, const char *why) {
  size_t size = *why ? (size_t)(strrchr(given, '}') - given) : strlen(given);
  const char *comma = given[1 + strspn(given + 1, " \t\r\n")] == '}' ? "" : ",";
  put_bytes(to, given, size);
  if (*why) format(to, "%s\"org.ocirt.why\":%j}", comma, why);
}

struct buffer state_json(
    const struct program *p, const struct journal *j, int pid, const char *status, int dir, int whole) {
  int pretty = dir >= 0;
  const struct facts *f = &p->facts;
  struct buffer state = state_buffer(f), *to = &state;
  const char *next = pretty ? ",\n  " : ",", *colon = pretty ? ": " : ":";
  format(to, "{%s\"ociVersion\"%s%j", next + 1, colon, f->oci_version);
  format(to, "%s\"id\"%s%j%s\"pid\"%s%d", next, colon, f->id, next, colon, pid);
  format(to, "%s\"status\"%s%j%s\"bundle\"%s%j", next, colon, status, next, colon, f->bundle);
  format(to, "%s\"rootfs\"%s%j%s\"created\"%s\"", next, colon, f->rootfs, next, colon);
  put_time(to, j->created_seconds, j->created_nanoseconds);
  put(to, "\"");
  if (whole) put_own_members(to, f, j);
  int64_t killed = pretty ? oom_kills(p) : 0;
  if (killed) format(to, "%s\"oomKills\"%s%l", next, colon, killed);
  BUFFER(why, 8192);
  if (pretty && !strcmp(status, "stopped")) put_why(&why, j, killed, dir);
  format(to, "%s\"annotations\"%s", next, colon);
  put_annotations(to, f->annotations, why.data);
  format(to, "%s\"owner\"%s\"\"%s", next, colon, pretty ? "\n}\n" : "}");
  return state;
}
