#pragma once
#include "base/sys.h"
#include "executor/run.h"
#include "steps.h"

// helper.c: has the helpers that ran before the step `failed` undo what they did; what goes wrong is a warning.
void undo_helpers(struct run *r, const struct step *failed);
