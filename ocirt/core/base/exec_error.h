// Explains why the kernel cannot execute a file.
#pragma once
#include "base/text.h"

// Appends the error and, if the interpreter that the file names is missing, that interpreter.
void put_exec_error(struct buffer *to, const char *path, int error);
