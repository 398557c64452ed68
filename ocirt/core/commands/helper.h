// Helpers: Python programs of this package that steps run.
#pragma once
#include "commands/hook.h"
#include "executor/run.h"

// Runs the helper with `data` (JSON) on standard input: 0 and a memfd with its output, or the error. The
// caller sets the command's descriptors, timeout and `prepare`.
int run_helper(struct run *r, const char *helper, const char *data, struct command *command, int *output);

// Runs the helpers before the step that failed again to undo their work. A failure is only a warning.
void undo_helpers(struct run *r);
