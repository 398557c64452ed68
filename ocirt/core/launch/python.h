// Starts Python for what the executable does not do by itself, and hands it the request.
#pragma once
#include "base/sys.h"
#include "launch/cache.h"
#include "launch/request.h"

#define HANDED_OVER "@program=" // begins the first word of the command line that Python hands back

void need_memory_for_python(void); // ends the process, with an error that names the limit, if that is too small
const char *isolated_python(void); // the interpreter's flags: it ignores what the caller's environment says
char **environment_for_python(void); // the caller's, and what the executable that Python becomes needs besides

// The interpreter (null: the script names none) and its script ocirt-python, which lies beside the executable.
int find_python(const char **interpreter, const char **script);

// Runs a branch of ocirt/boot.py. `input` is the descriptor of the document that it compiles, or -1; `asked` (null: for
// nothing) what a lookup in the cache has left.
_Noreturn void start_python(struct request *q, const char *branch, int input, struct asked *asked);
