// Starts Python for work that the executable does not do, and hands it the request.
#pragma once
#include "launch/cache.h"
#include "launch/request.h"
#include "program/program.h"

#define HANDED_OVER "@program=" // begins the first word of the command line that Python hands back

const char *isolated_python(void); // the interpreter's flags to ignore the caller's environment

// Finds the interpreter (null if the script names none) and the script ocirt-python beside the executable.
int find_python(const char **interpreter, const char **script);

// Runs a branch of ocirt/boot.py. `input` is the descriptor of the document to compile, or -1; `asked` holds the result
// of the lookup in the cache, null without one.
_Noreturn void start_python(struct request *q, const char *branch, int input, struct asked *asked);

// The same in a child. Returns with the program, while Python goes on to keep it: await_python waits until it is kept.
void compile_in_python(struct request *q, const char *branch, int input, struct asked *asked, struct program *program);
void await_python(struct request *q);
