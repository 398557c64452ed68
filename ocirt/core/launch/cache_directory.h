// The directory of the cache: only the caller can access it, and it is on a local file system.
#pragma once
#include "base/text.h"
#include "launch/request.h"

struct cache_directory {
  int fd; // -1: none can be used
  int in_memory; // nothing in it outlives the kernel
  struct buffer *path;
  struct buffer reason; // why there is no directory, or no entry that fits: for --debug
  char reason_data[1024];
};

// Opens the directory, and makes it if it is missing: the descriptor, or -1 with the reason.
int find_cache_directory(const struct request *q, struct cache_directory *d);
