// The state of a container as JSON, for hooks, callers and state.json.
#pragma once
#include "base/text.h"
#include "program/program.h"
#include "state/journal.h"

// `dir`: the state directory, for the verb state, which indents as runc does; `whole`: with the runtime's own members.
struct buffer state_json(
    const struct program *p, const struct journal *j, int pid, const char *status, int dir, int whole);
