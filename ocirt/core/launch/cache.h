// The cache of compiled programs: an entry holds a template, and all that compiling looked at when it was made. It is
// used where every one of those is the same now, byte for byte; anything else, a damaged file included, is a miss.
#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "launch/request_json.h"
#include "program/program.h"

#define CACHE_NAME 64

// What is asked for, and where a program for it would be kept: empty where none is.
struct asked {
  struct request_json request;
  char place[PATH_SIZE + CACHE_NAME];
};

// Binds a kept program to the request and the inputs: 1 with the program ready to run, or 0 with what Python needs to
// compile and keep one.
int find_program(const struct request *q, const struct inputs *in, struct program *program, struct asked *asked);
