// New file systems as detached mounts, by fsopen(2); and what all mounts have in common. The functions return 0 or a
// descriptor, or a negative errno, with the failing call noted in the run.
#pragma once
#include "executor/run.h"

// `layers`: the directories of an overlay, the topmost first; null: there are none, or they are among the options,
// which may be null, too.
struct filesystem {
  const char *type, *source;
  const struct texts *options, *layers;
};

int make_filesystem(struct run *r, const struct filesystem *f, int64_t attributes); // -E2BIG: an option is too long
int configure_all(struct run *r, int context, const struct texts *options);
int refused(
    struct run *r, int context, const char *option, int error); // in the kernel's own words, for `option` or null

// Attaches a detached mount over the root of this mount namespace. All paths begin beneath it, so that none leads to
// it.
int lay_over_root(struct run *r, int mount);
void take_off_root(int mount, int directory); // unmounts it again; clones stay. `directory`: the working directory

int attach(struct run *r, int mount, int target); // uses both descriptors up

// Sets and clears attributes MOUNT_ATTR_* and sets the propagation MS_* (0: as it is), of the mount or of all below it
// too.
int change_mount(struct run *r, int mount, uint64_t recursive, uint64_t set, uint64_t clear, uint64_t propagation);
int is_directory(int fd);
