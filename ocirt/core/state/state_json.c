// The state of a container as JSON, as hooks and callers get it.
#include "state/state_json.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "build-id.h"
#include "state/facts.h"

// A JSON member after the first; indented as runc does when `pretty`.
static void member(struct buffer *to, int pretty, int first, const char *name) {
  put(to, first ? "{" : ",");
  put(to, pretty ? "\n  " : "");
  put_json(to, name);
  put(to, pretty ? ": " : ":");
}

struct buffer state_buffer(const struct program *p) {
  // Escaping makes at most six bytes of one; the rest is names, numbers, dates and the path of a cgroup.
  size_t size = 32768;
  if (p) {
    const struct step_write_state *s = state_of(p);
    size += 6 * (strlen(text_of(p, s->id)) + strlen(text_of(p, s->bundle)) + strlen(text_of(p, s->rootfs)));
    size += strlen(text_of(p, s->annotations)) + strlen(text_of(p, s->request));
  }
  void *memory = more_memory(size);
  if (!memory) fail("no memory for a state of %d bytes", (int)size);
  return (struct buffer){memory, size, 0, 0};
}

void put_state(struct buffer *to, const struct program *p, const struct journal *j, int pid, const char *status,
    int pretty, int whole) {
  const struct step_write_state *s = state_of(p);
  member(to, pretty, 1, "ociVersion");
  put_json(to, text_of(p, s->oci_version));
  member(to, pretty, 0, "id");
  put_json(to, text_of(p, s->id));
  member(to, pretty, 0, "pid");
  put_number(to, pid);
  member(to, pretty, 0, "status");
  put_json(to, status);
  member(to, pretty, 0, "bundle");
  put_json(to, text_of(p, s->bundle));
  member(to, pretty, 0, "rootfs");
  put_json(to, text_of(p, s->rootfs));
  member(to, pretty, 0, "created");
  put(to, "\"");
  put_time(to, j->created_seconds, j->created_nanoseconds);
  put(to, "\"");
  if (whole) {
    member(to, pretty, 0, "version");
    put_number(to, 1);
    member(to, pretty, 0, "build");
    put_json(to, BUILD_ID);
    member(to, pretty, 0, "pidStartTime");
    put_number(to, (int64_t)j->start_time);
    member(to, pretty, 0, "request");
    put(to, text_of(p, s->request));
    BUFFER(file, 4096);
    put_paused_file(&file, p);
    if (file.used) {
      member(to, pretty, 0, "pausedFile");
      put_json(to, file.data);
    }
  }
  int64_t killed = pretty ? oom_kills(p) : 0;
  if (killed) {
    member(to, pretty, 0, "oomKills");
    put_number(to, killed);
  }
  member(to, pretty, 0, "annotations");
  put(to, text_of(p, s->annotations));
  member(to, pretty, 0, "owner");
  put(to, "\"\"");
  put(to, pretty ? "\n}\n" : "}");
}
