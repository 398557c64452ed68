// The log, warnings and errors, and how a verb ends.
#pragma once
#include "base/text.h"

#define LOG_LINE 8192

// An error begins with `prefix` (null: nothing) and ends the verb with exit status `status`. `reader` is the descriptor
// of --status-fd (-1: none), which gets all lines instead of standard error. `hint` tells a person what to do about the
// next error.
struct log {
  const char *path;
  int json, debug, only_errors;
  const char *prefix, *hint;
  int status, reader;
};
extern struct log logging;

// The first failure, for the error's line in JSON: later failures may be its consequences.
struct failure {
  const char *phase, *path;
  int error;
};
extern struct failure failure;
int log_is_file(const char *log); // 1 for a file, 0 for one of crun's other backends
void log_check(void); // fails the verb if the log cannot be opened
int is_terminal(int fd);
void log_line(const char *level, const char *message);
void warn(const char *pattern, ...); // a warning, of what format() makes of this
void log_commit(void); // writes the warnings that waited until the verb has done its work
_Noreturn void end_verb(int status); // calls log_commit and exits
void put_refusal(struct buffer *to, int error); // what may be the cause; of an old kernel nothing else
// What format() makes of this goes to the log and, if there is one, as plain text to standard error. Then it exits.
_Noreturn void fail(const char *pattern, ...);
