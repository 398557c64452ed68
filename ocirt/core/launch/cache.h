#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "launch/request.h"
#include "program/program.h"

#define CACHE_NAME 64

// Where a program for this command line and config would be kept; empty where none is.
struct place {
  char path[4096 + CACHE_NAME], key[8192];
};

// A container that exec adds a process to, as its state directory has it, and the process file (null: none is given).
struct existing {
  const char *config, *process, *bundle;
  size_t config_size, process_size;
  struct span request; // state.json's
};

// Binds a kept program to the config: 1 with *program ready to run, or 0 with the place for Python to keep one at.
int find_program(
    const struct request *q, const char *config, size_t size, struct program *program, struct place *place);

int find_exec_program(
    const struct request *q, const struct existing *container, struct program *program, struct place *place);
