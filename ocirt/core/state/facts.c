// Reads facts about the container from the cgroup files that its program names.
#include "state/facts.h"

#include <string.h>

#include "base/cgroupfs.h"
#include "base/trace.h"

int is_paused(const struct program *p) {
  const struct facts *f = &p->facts;
  char text[16];
  return p->base && *f->paused_file &&
         read_cgroup(f->freezer_hierarchy, f->freezer_path, f->paused_file, text, sizeof text) > 0 && *text == '1';
}

// The number after the word `key` in a file of a cgroup; 0 if there is none.
static int64_t counted(const char *hierarchy, const char *path, const char *file, const char *key) {
  char text[1024];
  if (!*file || read_cgroup(hierarchy, path, file, text, sizeof text) <= 0) return 0;
  size_t length = strlen(key);
  int64_t number;
  for (char *rest = text, *line; (line = next_line(&rest));)
    if (!strncmp(line, key, length) && line[length] == ' ' && !parse_number(line + length + 1, &number)) return number;
  return 0;
}

int64_t oom_kills(const struct program *p) {
  const struct facts *f = &p->facts;
  return p->base ? counted(f->memory_hierarchy, f->memory_path, f->oom_file, f->oom_key) : 0;
}

int64_t pids_refused(const struct program *p) {
  const struct facts *f = &p->facts;
  return p->base ? counted(f->pids_hierarchy, f->pids_path, f->pids_file, "max") : 0;
}

int64_t memory_peak(const struct program *p) {
  const struct facts *f = &p->facts;
  char text[32];
  int64_t peak;
  if (!p->base || !*f->peak_file) return 0;
  if (read_cgroup(f->memory_hierarchy, f->memory_path, f->peak_file, text, sizeof text) <= 0) return 0;
  text[strcspn(text, "\n")] = 0;
  return parse_number(text, &peak) ? 0 : peak;
}

void note_throttling(const struct program *p) {
  const struct facts *f = &p->facts;
  char text[512];
  if (record.part && p->base && *f->cpu_file &&
      read_cgroup(f->cpu_hierarchy, f->cpu_path, f->cpu_file, text, sizeof text) > 0)
    trace_note("throttled", "linux.resources.cpu", text);
}

void put_oom(struct buffer *to, const struct program *p, int joins) {
  int64_t killed = oom_kills(p);
  if (!killed) return;
  put(to, " (out of memory");
  // In an existing container the kernel may have killed other processes.
  if (joins) format(to, ", %l %s killed in the container", killed, killed == 1 ? "process" : "processes");
  put(to, ": is linux.resources.memory.limit too small?)");
}
