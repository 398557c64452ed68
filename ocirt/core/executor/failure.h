// The failure of a step as one line.
#pragma once
#include "base/text.h"
#include "executor/run.h"
#include "steps.h"

// Makes what format() makes of this the whole line of the failure, without the step's sentence.
int whole_failure(struct run *r, int error, const char *pattern, ...);

int put_failure(struct buffer *to, const struct run *r, const struct step *step, int error); // always -1

struct trace_event *begin_step(
    const struct run *r, const struct step *step); // for the record (base/trace.h) and --debug

// Reports the failure of r->step to the other side and ends the child.
_Noreturn void child_failed(struct run *r, int error);
