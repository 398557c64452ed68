// Helpers: Python programs of this package that steps run.
#pragma once
#include "commands/hook.h"
#include "executor/run.h"

// Runs `verb` of the helper with `data` (JSON) on standard input: 0 and a memfd with what it printed, or the error. Of
// the command its descriptors, time and preparation count.
int run_helper(
    struct run *r, const char *helper, const char *verb, const char *data, struct command *command, int *output);

// Has the helpers that ran before the step `failed` undo what they did; what goes wrong is a warning.
void undo_helpers(struct run *r, const struct step *failed);
