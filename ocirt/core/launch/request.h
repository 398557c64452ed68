#pragma once
#include "base/sys.h"
#include "flags.h"

void hold_holes(const char *holes, int yes); // launch.c: close-on-exec on what stands in their place, or not

struct request {
  int verb; // an enum verb_id
  const char *flags[FLAG_COUNT]; // null: not given; a switch has "1"
  const char *arguments[2];
  unsigned n_arguments;
  size_t n_values;
  int has_default_root; // --root was not given
  char **command; // exec: what follows the id
  char **argv; // the command line as it came, without our own first words
  char **environment;
  struct {
    unsigned char flag;
    const char *value;
  } *values; // of the flags that repeat, in order
  const char *holes; // HOLES and numbers: descriptors that the caller might have passed on, and has not; or null
};

// The first word of the command line where there are any, when Python hands it back.
#define HOLES "@holes="

// Reads the command line: 1, or 0 if it is not one that the executable takes by itself (another verb, help, a mistake).
int parse_command_line(struct request *q, char **argv);
const char *current_directory(void);
int preserved_fds(const struct request *q); // LISTEN_FDS and --preserve-fds
int listen_fds(const struct request *q);
const char *environment_variable(const struct request *q, const char *name);

const char *runtime_directory(
    const struct request *q); // the user's, for a request that may ask systemd for cgroups; or null

// Before and after an exec of our own: 0 keeps the descriptor open over it.
void close_on_exec(int fd, int yes);
