// What this process was started with, which its programs get back.
#pragma once
#include "base/sys.h"

struct limit {
  uint64_t soft, hard;
};

struct caller {
  struct limit files; // RLIMIT_NOFILE: the runtime's own soft limit is raised
  char **environment;
};
extern struct caller caller;
void set_up_process(char **environment);
int restore_open_files(void); // the caller's limit again: 0 or negative errno

// Python is started with the limit raised, and starts this executable again: by this variable the caller's own comes
// along.
#define OPEN_FILES "OCIRT_CALLER_NOFILE="
