#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "launch/request.h"
#include "program/scan.h"

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
