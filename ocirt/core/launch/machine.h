// What compiling may have observed of the machine and of the caller; ocirt/model/host.py observes the same.
#pragma once
#include "base/text.h"

// Writes what is observed now of a `kind` of fact into the empty buffer: 1, or 0 if nothing can be. `cgroupfs` is for
// beneath_cgroupfs().
int observe(char kind, const char *of, int *cgroupfs, struct buffer *found);
