// Running other programs: hooks, and whatever else a step runs.
#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "executor/run.h"
#include "program/program.h"
#include "steps.h"

int run_hook(struct run *r, const char *path, const struct texts *args, const char *const *env, int64_t timeout,
    const char *status, const int *streams); // streams: what gets stdout and stderr (0, -1: the error does); null: none
#define TAIL 4096

struct tail {
  char text[2 * TAIL];
  size_t used;
}; // at most TAIL bytes are used between two reads

// Another program: `input` is its standard input, `fds` are its descriptors from 3 on, which `prepare` may fill in, in
// the new process; a negative errno of its is the program's failure.
struct command {
  const char *path, *cwd;
  const char *const *args, *const *env;
  int input, fds[6], n_fds, root; // where it begins, in place of `cwd`; 0: not there
  int streams[2]; // what it prints goes there; 0: to `tail`, or the memfd
  struct tail *tail; // gets the end of what it prints, in place of a memfd; null: none
  const struct program *program;
  const struct step_filter_hooks *filter; // installed right before it is executed; null: none
  int of_caller; // it gets the caller's limit of open files, not the runtime's
  int64_t timeout; // seconds, 0: none
  int (*prepare)(struct command *command);
};

struct outcome {
  int status, late, output;
}; // wait status; the time was up; a memfd with what it printed, -1: none
int run_command(struct run *r, struct command *command, struct outcome *outcome); // 0 once it has ended
void put_output(struct buffer *to, int output); // the end of what it printed, in one line
