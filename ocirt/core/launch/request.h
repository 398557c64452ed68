// The command line. If the executable cannot read it, Python reads it and explains mistakes.
#pragma once
#include "base/sys.h"
#include "flags.h"

#define STDIN "-" // a file that is standard input

struct request {
  int verb; // an enum verb_id
  const char *flags[FLAG_COUNT]; // null: not given; a switch has "1"
  const char *arguments[2];
  unsigned n_arguments;
  size_t n_values;
  int has_default_root; // --root was not given
  char **command; // exec: what follows the id
  char **argv; // the command line without the word that Python has put first
  char **environment;
  int python; // a pipe that Python holds until it has kept the program that it has compiled; 0: no Python at work
  int python_pid;
  struct {
    unsigned char flag;
    const char *value;
  } *values; // of the repeatable flags, in order
  int *holes; // the descriptors that the caller could have passed on but has not, ends with 0; or null
};

// Reads the command line: 1, or 0 if the executable does not take it (another verb, help, a mistake).
int parse_command_line(struct request *q, char **argv);
void complete_request(struct request *q); // gives flags their defaults, and makes paths absolute

// The other runtime whose name the link to ocirt has, or null.
const char *peer_name(const char *argv0);
const char *environment_variable(const struct request *q, const char *name);

// XDG_RUNTIME_DIR, for a request that may ask the user's systemd for cgroups; or null.
const char *runtime_directory(const struct request *q);
