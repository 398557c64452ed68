#include "verbs/update.h"

#include "base/fault.h"
#include "base/log.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "verbs/lifecycle.h"

// Undoes the steps of the section update before `failed`. The section restore has a step for each of them, the last one
// first, so the steps of those that were not done come first and are skipped.
static int set_back(struct run *r, const struct step *failed) {
  const struct step *step = section_first(r->program, SECTION_RESTORE);
  uint32_t to_skip = section_count(r->program, SECTION_RESTORE);
  for (const struct step *done = section_first(r->program, SECTION_UPDATE); done < failed; done = next_step(done))
    to_skip--;
  while (to_skip--)
    step = next_step(step);
  return run_steps(r, step);
}

void verb_update(struct request *q, int program_fd, int lock) {
  struct container c = {0};
  struct run r;
  if (lock < 0) fail("update: found no lock, expected that of Python");
  need_container(&c, q, 0);
  if (program_load(&c.program, program_fd)) fail("the program for %s was compiled by another build", c.id);
  fault_point();
  run_begin(&r, &c, SECTION_UPDATE);
  int error = run_section(&r);
  if (!error) end_verb(0);
  STATIC_BUFFER(text, LOG_LINE);
  const struct step *failed = r.step;
  put_failure(&text, &r, failed, error);
  run_begin(&r, &c, SECTION_RESTORE);
  error = set_back(&r, failed);
  if (error) {
    put(&text, "; not all could be set back: ");
    put_failure(&text, &r, r.step, error);
  }
  fail("%s", text.data);
}
