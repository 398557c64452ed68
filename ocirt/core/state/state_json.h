// The state of a container as JSON, for hooks, callers and state.json.
#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "program/program.h"
#include "state/journal.h"

struct buffer state_buffer(const struct program *p); // large enough for the state of `p`, which may be null

void put_state(struct buffer *to, const struct program *p, const struct journal *j, int pid, const char *status,
    int pretty, int whole);
