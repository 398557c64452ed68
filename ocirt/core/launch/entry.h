// An entry of the cache: what it holds for, and whether that is what is asked for now. ocirt/plan/cache.py writes
// entries, and has their layout.
#pragma once
#include "launch/bind.h"
#include "program/program.h"

struct entry_head {
  char magic[8];
  uint32_t format, size;
  uint64_t hits;
  char build[BUILD_SIZE];
};

// 1 with the program, bound to the values that are asked for; 0: the entry is for others, or it is none.
int try_entry(const struct lookup *l, const void *data, size_t size, struct program *program);
