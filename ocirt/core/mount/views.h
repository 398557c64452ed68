// Views of the kernel in the container (procfs and sysfs). The runtime pins each that it mounts: it finds paths beneath
// it that are masked, made read-only or written from the mount itself, even if somebody exchanges directories on the
// way there meanwhile. Any other mount hides what was pinned at or beneath its target.
#pragma once
#include "base/path.h"
#include "executor/run.h"

// How to find the target of a mount. WAY_NOFOLLOW: a link there is meant itself. WAY_PLAIN: no component may be a link.
// WAY_PROC_FILE: the target is one of the files of /proc on which mounts are allowed; anywhere else inside of a procfs
// they are refused (-EPERM).
enum way { WAY_ORDINARY, WAY_NOFOLLOW, WAY_PLAIN, WAY_PROC_FILE };

enum view_kind { NO_VIEW, PART_OF_VIEW, WHOLE_VIEW }; // neither procfs nor sysfs, a directory of one, all of one
enum view_kind view_of(int fd);

// To be called for each new mount. One at / becomes the rootfs: 0 or negative errno.
int note_mount(struct run *r, const char *target, int mount, enum view_kind kind);

// The path inside the rootfs of a path of the host, in `out` of PATH_SIZE bytes; null: it lies outside.
const char *path_in_rootfs(const struct run *r, const char *path, char *out);

// What the container sees at the path: an O_PATH descriptor or a negative errno.
int resolve_seen(struct run *r, const char *path);

// The target of a mount, made if it is missing: an O_PATH descriptor or a negative errno.
int resolve_place(struct run *r, const char *path, enum make_kind kind, enum way way);
