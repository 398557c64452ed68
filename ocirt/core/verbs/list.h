#pragma once
#include "launch/request.h"

_Noreturn void verb_list(struct request *q);
