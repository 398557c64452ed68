// The log, warnings and errors, and how a verb ends.
#pragma once
#include "base/sys.h"
#include "base/text.h"

#define LOG_LINE 8192
struct buffer arena_buffer(size_t capacity); // for so many bytes and a NUL; no memory ends the process

// `prefix` is put before an error (null: nothing), `status` is the exit status of one, `reader` the descriptor of
// --status-fd (-1: none), which gets all lines in place of standard error. `hint` is what a person may do about the
// next error.
struct log {
  const char *path;
  int json, debug, only_errors;
  const char *prefix, *hint;
  int status, reader;
};
extern struct log logging;

// What the next error is about, for its line in JSON: the first failure, of which others may be consequences.
struct failure {
  const char *phase, *path;
  int error;
};
extern struct failure failure;
int log_is_file(const char *log); // does --log name a file, or one of crun's other backends?
void log_check(void); // the end of this process where the log cannot be opened
int is_terminal(int fd);
void log_line(const char *level, const char *message);
void warn(const char *pattern, ...); // a warning, of what format() makes of this
void log_commit(void); // the verb has done its work: warnings that waited for its end are written
_Noreturn void end_verb(int status); // that, and the end
void log_error(const char *message); // to the log, and as plain text to standard error where the log is a file
void put_refusal(struct buffer *to, int error); // what else may be behind an error that a call has given
_Noreturn void fail(const char *pattern, ...); // log_error of what format() makes of this, and the end
