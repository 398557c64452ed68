#pragma once
#include "base/sys.h"
#include "executor/run.h"
#include "mount/views.h"

int source_failed(
    struct run *r, const char *source, int error); // the failure of that, with what to do where the rootfs is missing
int open_source(struct run *r, const char *source, int64_t recursive,
    int64_t nofollow); // a clone of what is mounted there, detached

// Attaches the detached mount, which is used up, at the path `target` of the rootfs; at / it becomes the rootfs.
int place_mount(struct run *r, int mount, const char *target, enum way way);
