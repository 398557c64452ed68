// The cache of compiled programs (cache.c).
#pragma once
#include "verbs.h"

#define CACHE_NAME 64

// Where a program for this command line and config would be kept; empty where none is.
struct place { char path[4096 + CACHE_NAME], key[8192]; };

// Binds a kept program to the config: 1 with *program ready to run, or 0 with the place for Python to keep one at.
int find_program(const struct request *q, const char *config, size_t size, struct program *program, struct place *place);
