// What the steps on mounts share.
#pragma once
#include "executor/run.h"
#include "mount/views.h"

// The failure of opening a source: says what to do if the rootfs is missing.
int source_failed(struct run *r, const char *source, int error);

// A detached clone of what is mounted at the source: a descriptor or a negative errno.
int open_source(struct run *r, const char *source, int64_t recursive, int64_t nofollow);

// Attaches the detached mount, which is used up, at the path `target` of the rootfs. At / it becomes the rootfs.
int place_mount(struct run *r, int mount, const char *target, enum way way);
