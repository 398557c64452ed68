// Why a file cannot be executed, in words.
#pragma once
#include "base/sys.h"
#include "base/text.h"

// Appends the error, and which interpreter is missing if the file names one that is.
void put_exec_error(struct buffer *to, const char *path, int error);
