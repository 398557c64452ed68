// exec runs a further process in a container that exists.
#pragma once
#include "launch/request.h"
#include "program/program.h"
#include "state/container.h"

_Noreturn void verb_exec(struct request *q, struct container *c, const struct program *program);

// Opens the container if exec can act on it, or ends the verb with an error.
void need_running(struct container *c, struct request *q);
