// The limits and the environment of the caller, which the programs that the runtime executes get back.
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
