// Reads facts about the container from the cgroup files that its program names.
#include "state/facts.h"

#include "base/cgroupfs.h"
#include "base/trace.h"

int is_paused(const struct program *p) {
  const struct facts *f = &p->facts;
  char text[16];
  return p->base && *f->paused_file &&
         read_cgroup(f->freezer_hierarchy, f->freezer_path, f->paused_file, text, sizeof text) > 0 && *text == '1';
}

int64_t oom_kills(const struct program *p) {
  const struct facts *f = &p->facts;
  return p->base ? number_in_cgroup(f->memory_hierarchy, f->memory_path, f->oom_file, f->oom_key) : 0;
}

int64_t pids_refused(const struct program *p) {
  const struct facts *f = &p->facts;
  return p->base ? number_in_cgroup(f->pids_hierarchy, f->pids_path, f->pids_file, "max") : 0;
}

int64_t memory_peak(const struct program *p) {
  const struct facts *f = &p->facts;
  return p->base ? number_in_cgroup(f->memory_hierarchy, f->memory_path, f->peak_file, "") : 0;
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
