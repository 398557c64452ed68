// Facts of the machine and the caller that the compiler may have observed, as ocirt/model/host.py observes them.
#pragma once
#include "base/text.h"

// Observes a fact of a `kind`, and writes it into the empty buffer: 1, or 0 if the runtime cannot observe it.
// `cgroupfs` is for beneath_cgroupfs().
int observe(char kind, const char *of, int *cgroupfs, struct buffer *found);
