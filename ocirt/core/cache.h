// The cache of compiled programs (cache.c), and what of a command line it looks at (words.c).
#pragma once
#include "scan.h"
#include "verbs.h"

#define CACHE_NAME 64

// Where a program for this command line and config would be kept; empty where none is.
struct place {
  char path[4096 + CACHE_NAME], key[8192];
};

// A container that exec adds a process to, as its state directory has it, and the process file (null: none is given).
struct existing {
  const char *config, *process, *bundle;
  size_t config_size, process_size;
  struct span request; // state.json's
};

// Binds a kept program to the config: 1 with *program ready to run, or 0 with the place for Python to keep one at.
int find_program(
    const struct request *q, const char *config, size_t size, struct program *program, struct place *place);
int find_exec_program(
    const struct request *q, const struct existing *container, struct program *program, struct place *place);

// ---- words.c ----

// Where the values of a program are taken from: the scan of documents, and the command line.
struct lookup {
  const struct request *q;
  struct scan scan;
  const char *bundle; // exec: the container's; null: that of the flag
  struct leaf command, env; // exec: its words and its --env, lists in the scan
};

// The command line as far as a program depends on it; 0: none is kept for this one.
int put_words(struct buffer *to, const struct request *q);
size_t count_words(const struct request *q, size_t *size); // of the lists, and their bytes
void list_words(struct lookup *l);
int word_value(const struct lookup *l, struct span name, struct leaf *value); // 1, or 0: there is no such
