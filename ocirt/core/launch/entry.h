// Decides whether an entry of the cache fits a request. ocirt/plan/cache.py writes entries and documents their layout.
#pragma once
#include "launch/bind.h"
#include "program/program.h"

struct entry_head {
  char magic[8];
  uint32_t format, size;
  uint64_t hits;
  char build[BUILD_SIZE];
};

// 1 with the program, bound to the values of the request; 0 if the entry does not fit, or is damaged.
int try_entry(const struct lookup *l, const void *data, size_t size, struct program *program);
