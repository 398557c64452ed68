// Without pivot_root the host's mounts stay beneath the container's root: init unmounts or covers them.
#pragma once
#include "executor/run.h"

// The kernel lets a user namespace mount a procfs or sysfs of its own if its mount namespace has a whole one anywhere.
// So none of the host's may stay. In a user namespace the host's mounts are locked, and init covers the views instead
// of unmounting them. 0 or negative errno.
int hide_host(struct run *r);
