// The request as one JSON document, written once: the cache binds its values to a program, and Python gets it
// (ocirt/boot.py). Its strings are bytes, as those of a command line are: what is no UTF-8 stands in them as it is.
#pragma once
#include "base/text.h"
#include "launch/request.h"

// A container that exec adds a process to, as its state directory has it, and the process file (null: none is given).
struct existing {
  const char *config, *process, *bundle;
  size_t config_size, process_size;
  struct span request; // state.json's
};

struct request_json {
  struct buffer text; // an object that is not closed: whoever hands it on adds to it
  struct span key, bound; // two of its members, as they stand there
  int is_refused; // Python refuses a value of it: no program is for it
};

// Of a request for the container `c` (null: for none yet). Programs are kept for one `boot`, null: they do not outlive
// it.
void write_request(struct request_json *r, const struct request *q, const struct existing *c, const char *boot);
