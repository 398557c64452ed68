#pragma once
#include "base/sys.h"
#include "base/text.h"

// JSON as it stands there; without size: it has none.
struct stored {
  struct span oci_version, bundle, rootfs, annotations, paused_file, request;
};
int read_stored(struct stored *s, const char *at, const char *end); // 1, or 0: this is not what create writes
const char *skip_space(const char *at, const char *end); // past what JSON has between its tokens
