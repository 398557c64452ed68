#pragma once
#include "base/sys.h"
#include "base/text.h"

// identity.c: why a file cannot be executed; the interpreter that it names, where that is missing.
void put_exec_error(struct buffer *to, const char *path, int error);
