// New file systems, whatever the length of their options.
#pragma once
#include "mount/filesystem.h"

// A detached mount with the attributes MOUNT_ATTR_*: by fsopen(2), or by mount(2) if an option is too long for that.
int new_filesystem(struct run *r, const struct filesystem *f, int64_t attributes);
