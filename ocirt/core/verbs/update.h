// update: the program that Python has compiled for it, and its way back.
#pragma once
#include "launch/request.h"

// For a container that lives. `lock` is the descriptor of the lock of the state directory, which Python has taken.
_Noreturn void verb_update(struct request *q, int program_fd, int lock);
