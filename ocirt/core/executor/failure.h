// The failure of a step as one line.
#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "executor/run.h"
#include "steps.h"

// Makes a whole line of the failure, in which the step's sentence does not stand: what format() makes of this.
int whole_failure(struct run *r, int error, const char *pattern, ...);

void put_failure(struct buffer *to, const struct run *r, const struct step *step, int error);

_Noreturn void child_failed(
    struct run *r, const struct step *step, int error); // tells the other side, and ends the child
