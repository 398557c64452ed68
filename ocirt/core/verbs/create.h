// create, run and restore.
#pragma once
#include "base/text.h"
#include "launch/request.h"
#include "program/program.h"

_Noreturn void verb_create(struct request *q, const struct program *program, struct span config);
