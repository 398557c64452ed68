// What the state section of a program says about the container's cgroup: paused, killed for memory, memory peak.
#include "state/facts.h"

#include <string.h>

#include "base/cgroupfs.h"

// The step of the section state that has this code; null: there is none.
static const struct step *telling(const struct program *p, unsigned code) {
  if (!p->base) return 0;
  const struct step *end = section_end(p, SECTION_STATE);
  for (const struct step *step = section_first(p, SECTION_STATE); step < end; step = next_step(step))
    if (step->code == code) return step;
  return 0;
}

int is_paused(const struct program *p) {
  const struct step_tell_paused *s = (const void *)telling(p, STEP_TELL_PAUSED);
  char text[16];
  return s && read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->file), text, sizeof text) > 0 &&
         *text == '1';
}

void put_paused_file(struct buffer *to, const struct program *p) {
  const struct step_tell_paused *s = (const void *)telling(p, STEP_TELL_PAUSED);
  if (!s) return;
  put(to, text_of(p, s->hierarchy));
  put(to, text_of(p, s->path));
  put(to, "/");
  put(to, text_of(p, s->file));
}

int64_t oom_kills(const struct program *p) {
  const struct step_tell_oom_kills *s = (const void *)telling(p, STEP_TELL_OOM_KILLS);
  char text[1024];
  if (!s || read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->file), text, sizeof text) <= 0)
    return 0;
  const char *key = text_of(p, s->key);
  size_t length = strlen(key);
  for (char *line = text; *line; line += *line == '\n') {
    char *end = line + strcspn(line, "\n"), last = *end;
    int64_t number;
    *end = 0;
    if (!strncmp(line, key, length) && line[length] == ' ' && !parse_number(line + length + 1, &number)) return number;
    *end = last;
    line = end;
  }
  return 0;
}

int64_t memory_peak(const struct program *p) {
  const struct step_tell_oom_kills *s = (const void *)telling(p, STEP_TELL_OOM_KILLS);
  char text[32];
  int64_t peak;
  if (!s || !*text_of(p, s->peak)) return 0;
  if (read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->peak), text, sizeof text) <= 0) return 0;
  text[strcspn(text, "\n")] = 0;
  return parse_number(text, &peak) ? 0 : peak;
}

void put_oom(struct buffer *to, const struct program *p, int joins) {
  int64_t killed = oom_kills(p);
  if (!killed) return;
  // In a cgroup that was there before, others may have been killed.
  put(to, " (out of memory");
  if (joins) {
    put(to, ", ");
    put_number(to, killed);
    put(to, killed == 1 ? " process killed in the container" : " processes killed in the container");
  }
  put(to, ": is linux.resources.memory.limit too small?)");
}
