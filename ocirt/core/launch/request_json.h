// The request as one JSON document, for the cache, which binds its values to a program, and for Python (ocirt/boot.py).
// Its strings may hold bytes that are not UTF-8, as a command line may.
#pragma once
#include "base/text.h"
#include "launch/request.h"

// The inputs of a compilation besides the request.
struct inputs {
  struct span config;
  // exec: the process file, without text if none is given, and the container's `request` (of its state.json) and
  // bundle. Null for other verbs.
  struct span process, created;
  const char *bundle;
};

struct request_json {
  struct buffer text; // an object without its closing brace: start_python adds members
  struct span key, bound; // two of its members, as in the text
  int is_refused; // Python refuses one of its values, so no kept program fits
};

// `in`: the inputs, null without a compilation. `boot` is the id of the boot that a kept program is for, null if the
// cache does not outlive the boot.
void write_request(struct request_json *r, const struct request *q, const struct inputs *in, const char *boot);
