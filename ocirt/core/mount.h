// What the steps on mounts share: mount.c (file systems and binds), root.c (the rootfs), restrict.c (masks).
#pragma once
#include "core.h"

int set_propagation(struct run *r, int mount, int64_t propagation, int64_t recursive);
int source_failed(
    struct run *r, const char *source, int error); // the failure of that, with what to do where the rootfs is missing
int open_source(const char *source, int64_t recursive, int64_t nofollow); // a clone of what is mounted there, detached

// ---- filesystem.c ----

// A new file system. `layers` are the directories of an overlay, the topmost first; null: none, or among the options.
struct filesystem {
  const char *type, *source;
  const struct texts *options, *layers;
};

int open_filesystem(struct run *r, const struct filesystem *f); // its context; -E2BIG: an option is too long for one
int detached(struct run *r, int context, int64_t attributes); // of the context, which is used up
int new_filesystem(struct run *r, const struct filesystem *f, int64_t attributes); // both, or what mount(2) does of it
int configure_all(struct run *r, int context, const struct texts *options);
int configure(struct run *r, int context, const char *key, const char *value);
int refused(struct run *r, int context, const char *option, int error);

// A detached mount in this mount namespace, but where no path leads: over its root, beneath which all paths begin.
// Taken off it is gone; what has been cloned of it stays. The working directory is `directory` then.
int lay_over_root(struct run *r, int mount);
void take_off_root(int mount, int directory);

// ---- mount.c ----

// Attaches the detached mount at the target; both descriptors are used up.
int attach(struct run *r, int mount, int target);

// How to get where a mount goes: WAY_NOFOLLOW a link there is meant itself, WAY_PLAIN no link is on the way,
// WAY_PROC_FILE it is one of the files of /proc on which something may be mounted; elsewhere inside of a procfs nothing
// may (-EPERM).
enum way { WAY_ORDINARY, WAY_NOFOLLOW, WAY_PLAIN, WAY_PROC_FILE };

// Attaches the detached mount, which is used up, at the path `target` of the rootfs; at / it becomes the rootfs.
int place_mount(struct run *r, int mount, const char *target, enum way way);

// ---- restrict.c ----
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
