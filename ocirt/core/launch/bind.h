// Binds the template of a cache entry to the values of a request.
#pragma once
#include "launch/reader.h"
#include "program/program.h"
#include "program/scan.h"

// A request for a program: the values of its documents, and the key that these make.
struct lookup {
  struct scan scan;
  struct span key;
  size_t values_size; // the texts of all values together are no longer
};

int bind_program(const struct lookup *l, struct reader *r, struct program *program);
