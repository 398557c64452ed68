// Where compiled programs are kept: a directory that is the caller's alone, on a local file system.
#pragma once
#include "base/text.h"
#include "launch/request.h"

struct cache_directory {
  int fd; // -1: there is none to be had
  int in_memory; // nothing in it outlives the kernel
  struct buffer *path;
  struct buffer reason; // why there is none, or nothing in it serves: for --debug
  char reason_data[1024];
};

// Opens it, and makes it where it is missing: the descriptor, or -1 with the reason.
int find_cache_directory(const struct request *q, struct cache_directory *d);
