// kill: which signal is meant, and who gets it.
#pragma once
#include "launch/request.h"

_Noreturn void verb_kill(struct request *q);
