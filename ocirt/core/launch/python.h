#pragma once
#include "base/sys.h"
#include "launch/cache.h"
#include "launch/request.h"

void need_memory_for_python(void); // or the end of this process, with an error that names the limit
const char *isolated_python(void); // its flags: what the caller has set in the environment is not for it
char **environment_for_python(void); // the caller's, and what the executable that Python becomes needs besides

// launch.c: the interpreter (null: the script names none) and its script ocirt-python, which lies beside the
// executable.
int find_python(const char **interpreter, const char **script);
_Noreturn void start_python(struct request *q, const char *branch, int input, struct asked *asked);
#define HANDED_OVER "@program="

// The flag that says by which runtime's name we were called, through a link; null: by our own.
const char *peer_flag(const char *called);
