// Runs hooks, and other programs of steps.
#pragma once
#include "base/text.h"
#include "executor/run.h"
#include "program/program.h"
#include "steps.h"

// `streams`: where stdout and stderr go (null, or 0 or -1 for one of them: into the error).
int run_hook(struct run *r, const char *path, const struct texts *args, const char *const *env, int64_t timeout,
    const char *status, const int *streams);
#define HELPER_SECONDS 60 // for which the runtime waits for a program that helps it
#define TAIL 4096

struct tail {
  char text[2 * TAIL];
  size_t used;
}; // between two reads `used` is at most TAIL

// A program to run: `input` is its standard input, `fds` are its descriptors from 3 on. `prepare` may fill these in, in
// the new process; if it returns a negative errno, the program fails with that.
struct command {
  const char *path, *cwd;
  const char *const *args, *const *env;
  int input, fds[6], n_fds, root; // where the program starts, instead of `cwd`; 0: unused
  int streams[2]; // where its output goes; 0: to `tail` or the memfd
  struct tail *tail; // gets the end of its output, instead of a memfd; null: none
  const struct program *program;
  const struct step_filter_hooks *filter; // loaded right before execve; null: none
  int of_caller; // gets the caller's limit of open files, not the runtime's
  int64_t timeout; // seconds, 0: none
  int (*prepare)(struct command *command);
};

struct outcome {
  int status, late, output;
}; // wait status; whether it timed out; a memfd with its output, -1: none
int run_command(struct run *r, struct command *command, struct outcome *outcome); // 0 once it has ended
void put_output(struct buffer *to, int output); // the end of its output, in one line
