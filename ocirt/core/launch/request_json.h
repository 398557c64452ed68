// The request as one JSON document, written once: the cache binds its values to a program, and Python gets it
// (ocirt/boot.py). Its strings are bytes, as those of a command line are: what is no UTF-8 stands in them as it is.
#pragma once
#include "base/text.h"
#include "launch/request.h"

// What a program is compiled from, beside the request.
struct inputs {
  struct span config;
  // exec: the process file, without text if none is given; and of the container the `request` of its state.json and its
  // bundle. Null for other verbs.
  struct span process, created;
  const char *bundle;
};

struct request_json {
  struct buffer text; // an object that is not closed: whoever hands it on adds to it
  struct span key, bound; // two of its members, as they stand there
  int is_refused; // Python refuses a value of it: no program is for it
};

// `in`: what exec's container was created with, null if the verb has none. Programs are kept for one `boot`, null: they
// do not outlive it.
void write_request(struct request_json *r, const struct request *q, const struct inputs *in, const char *boot);
