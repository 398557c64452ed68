// Reads state.json: what create has stored of a container. Only create writes it, so the values are not checked here.
#pragma once
#include "base/text.h"

// The text of each member in the file; size 0: missing.
struct stored_state {
  struct span oci_version, bundle, rootfs, annotations, paused_file, request;
};
int read_stored_state(struct stored_state *s, const char *at, const char *end); // 1, or 0 if create did not write this
