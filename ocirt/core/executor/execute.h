// Runs a section of a program.
#pragma once
#include "executor/run.h"
#include "state/container.h"
#include "state/journal.h"
#include "steps.h"

// The effect in the journal, made if it is missing. Null, with the failure, if the journal is full.
struct effect *need_effect(struct run *r, uint64_t key);
void run_begin(struct run *r, struct container *c, unsigned section);

// Runs the section of `r`: 0, or a negative errno of r->step.
int run_section(struct run *r);
int run_steps(struct run *r, const struct step *from); // the same, from the step `from` on
void run_or_report(struct run *r, unsigned section); // a child: reports a failure to the other side, and ends
_Noreturn void run_child(struct run *r, unsigned section); // stage or init, never returns

extern int (*const handlers[])(struct run *r, const struct step *s); // by code; handlers.c
