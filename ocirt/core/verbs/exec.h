#pragma once
#include "base/sys.h"
#include "launch/request.h"
#include "program/program.h"
#include "state/container.h"

_Noreturn void verb_exec(struct request *q, struct container *c, const struct program *program);

// exec.c: the container, if exec can act on it; `found`: it was there when the verb began.
void need_running(struct container *c, struct request *q, int found);
