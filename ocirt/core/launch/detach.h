#pragma once
#include "base/sys.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
extern char own_path[4096]; // as it was called first: by find_home
extern size_t own_folder; // the length of its folder's path, with ocirt-python in it
extern int own_file; // open, while Python may have to execute it and /proc/self/exe is no longer it; else -1
void called_as(const char *name); // argv[0]

void forget_arguments(
    const char *name); // the command line and the environment, as /proc shows them; `name` stands in for them
void find_home(void); // for those verbs that execute something: the others do without

// Before anything of a container is there: this process goes on without a file, or executes itself from a sealed one.
void seal(char **argv, char **environment);
void leave_own_file(void); // nothing is going to execute it
