// The state of a container as JSON, for hooks, callers and state.json.
#pragma once
#include "base/text.h"
#include "program/program.h"
#include "state/journal.h"

// `pretty`: indented as by runc; `whole`: with the members that only the runtime reads.
struct buffer state_json(
    const struct program *p, const struct journal *j, int pid, const char *status, int pretty, int whole);
