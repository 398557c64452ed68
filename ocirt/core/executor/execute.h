// Runs a section of a program.
#pragma once
#include "base/sys.h"
#include "executor/run.h"
#include "state/container.h"
#include "state/journal.h"
#include "steps.h"

// The effect in the journal, made if it is missing. Null, with the failure, if the journal is full.
struct effect *need_effect(struct run *r, uint64_t key);
void run_begin(struct run *r, struct container *c, unsigned section);

// Runs a section: 0, or a negative errno with the failing step in *failed.
int run_section(struct run *r, const struct step **failed);
int run_steps(struct run *r, const struct step *from, const struct step **failed); // the same, from the step `from` on
_Noreturn void run_child(struct run *r, unsigned section); // stage or init, never returns

extern int (*const handlers[])(struct run *r, const struct step *s); // by code; handlers.c
