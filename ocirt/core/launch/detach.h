// Detaches the process from the file that it executes. The processes of a container reach that file through
// /proc/PID/exe of init (CVE-2019-5736), and its pages if a bug of the kernel lets them poison the page cache.
#pragma once
#include "base/sys.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct executable {
  char *path; // empty before find_install_dir
  size_t dir_size; // length of the path's folder, in which ocirt-python lies, too
  int file; // open if /proc/self/exe no longer leads there and Python may have to execute it; else -1
  const char *argv0; // main sets it
};
extern struct executable executable;

void find_install_dir(void); // only verbs that execute something need it

// Call before creating anything. Either detaches from the on-disk executable or executes a sealed copy of it.
void detach_from_exe(char **argv, char **environment);
void close_exe(void); // once nobody needs executable.file

// Overwrites the command line and the environment, which /proc shows, with `name`.
void forget_arguments(const char *name);
