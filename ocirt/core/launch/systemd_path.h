// Splits a linux.cgroupsPath for systemd, `slice:prefix:name`, as unit_parts() of ocirt/model/text.py does.
#pragma once
#include "base/text.h"

// Parts 0 to 2 are these three, part 3 is the cgroup of the slice, which the next call overwrites. 0: another form.
int unit_part(struct span text, unsigned part, struct span *found);
