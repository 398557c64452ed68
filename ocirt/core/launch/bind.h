// Binds the template of an entry: its slots get the values that are asked for.
#pragma once
#include "launch/reader.h"
#include "program/program.h"
#include "program/scan.h"

// What is asked for: the values of the documents and the key that they make.
struct lookup {
  struct scan scan;
  struct span key;
  size_t values_size; // no text of a value is longer, nor all of them together
};

int bind_program(const struct lookup *l, struct reader *r, struct program *program);
