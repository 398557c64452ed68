// create, run and restore.
#pragma once
#include "base/sys.h"
#include "launch/request.h"
#include "program/program.h"

_Noreturn void verb_create(struct request *q, const struct program *program, const void *config, size_t size);
