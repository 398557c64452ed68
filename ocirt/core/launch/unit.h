// What linux.cgroupsPath asks systemd for, `slice:prefix:name`: unit_parts of ocirt/model/text.py, in C.
#pragma once
#include "base/text.h"

// Part 0 to 3: these three, and the cgroup of the slice, which the next call overwrites. 0: the text has not that form.
int unit_part(struct span text, unsigned part, struct span *found);
