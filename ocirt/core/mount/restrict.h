#pragma once
#include "base/sys.h"
#include "base/path.h"
#include "executor/run.h"

// How to get where a mount goes: WAY_NOFOLLOW a link there is meant itself, WAY_PLAIN no link is on the way,
// WAY_PROC_FILE it is one of the files of /proc on which something may be mounted; elsewhere inside of a procfs nothing
// may (-EPERM).
enum way { WAY_ORDINARY, WAY_NOFOLLOW, WAY_PLAIN, WAY_PROC_FILE };

// A procfs or sysfs that is mounted at `place` is pinned: paths beneath it that are masked, made read-only or changed
// are found from the mount itself, whoever exchanges directories on the way there meanwhile. Any other mount there
// takes what was pinned at or beneath it out of sight.

enum view_kind { NO_VIEW, PART_OF_VIEW, WHOLE_VIEW }; // of procfs or sysfs: nothing, a part, all from its root on
enum view_kind view_of(int fd);

int note_mount(
    struct run *r, const char *target, int mount, enum view_kind kind); // of every mount; one at / is the rootfs then

// The end, from a slash on, of a path of the host that lies in the rootfs, in `out` of PATH_SIZE bytes; null: it does
// not.
const char *path_in_rootfs(const struct run *r, const char *path, char *out);
int resolve_seen(struct run *r, const char *path); // O_PATH fd or negative errno

// Where a mount goes: an O_PATH fd, or a negative errno; made where it is missing.
int resolve_place(struct run *r, const char *path, enum make_kind kind, enum way way);
