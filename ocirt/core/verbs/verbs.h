// start, state, pause, resume and delete: the stored program's short sections, without an interpreter.
#pragma once
#include "launch/request.h"
#include "state/container.h"

_Noreturn void verb_start(struct request *q);
_Noreturn void verb_state(struct request *q);
_Noreturn void verb_delete(struct request *q);
_Noreturn void verb_pause(struct request *q);
_Noreturn void verb_resume(struct request *q);

// Runs a section of the stored program; a failure ends the verb with an error. `signal` is for the section signal,
// which returns how many processes got it.
int run_or_fail(struct container *c, unsigned section, int signal);
