// The cache of compiled programs. An entry holds a template and everything that the compiler looked at. If each of
// these is still the same, byte for byte, the entry is a hit; anything else, a damaged file included, is a miss.
#pragma once
#include "base/text.h"
#include "launch/request_json.h"
#include "program/program.h"

#define CACHE_NAME 64

// The request, and the path of a new entry for it; empty if its program is not kept.
struct asked {
  struct request_json request;
  char place[PATH_SIZE + CACHE_NAME];
};

// Binds a kept program to the request and the inputs: 1 with the program ready to run, or 0 with what Python needs to
// compile and keep one.
int find_program(const struct request *q, const struct inputs *in, struct program *program, struct asked *asked);
