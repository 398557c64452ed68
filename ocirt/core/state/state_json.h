// The state of a container as JSON, as hooks and callers get it.
#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "program/program.h"
#include "state/journal.h"

struct buffer state_buffer(const struct program *p); // large enough for the state; null: for one without a program

void put_state(struct buffer *to, const struct program *p, const struct journal *j, int pid, const char *status,
    int pretty, int whole);
