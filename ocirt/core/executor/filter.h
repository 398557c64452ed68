// Seccomp filters of the program.
#pragma once
#include "program/program.h"

// Loads a seccomp filter, a string of the program: a listener or 0, or negative errno.
int load_filter(const struct program *p, uint64_t filter, uint64_t flags);
