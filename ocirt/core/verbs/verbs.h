#pragma once
#include "base/sys.h"
#include "launch/request.h"

_Noreturn void verb_start(struct request *q, int program_fd);
_Noreturn void verb_state(struct request *q, int program_fd);
_Noreturn void verb_kill(struct request *q, int program_fd);
_Noreturn void verb_delete(struct request *q, int program_fd);
_Noreturn void verb_pause(struct request *q, int program_fd);
_Noreturn void verb_resume(struct request *q, int program_fd);
_Noreturn void verb_update(struct request *q, int program_fd, int lock);
