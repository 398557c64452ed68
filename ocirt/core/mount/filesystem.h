#pragma once
#include "base/sys.h"
#include "executor/run.h"
#include "program/program.h"

int set_propagation(struct run *r, int mount, int64_t propagation, int64_t recursive);

// A new file system. `layers` are the directories of an overlay, the topmost first; null: none, or among the options.
struct filesystem {
  const char *type, *source;
  const struct texts *options, *layers;
};
int new_filesystem(struct run *r, const struct filesystem *f, int64_t attributes); // a detached mount of it
int configure_all(struct run *r, int context, const struct texts *options);
int configure(struct run *r, int context, const char *key, const char *value);
int refused(struct run *r, int context, const char *option, int error);

// A detached mount in this mount namespace, but where no path leads: over its root, beneath which all paths begin.
// Taken off it is gone; what has been cloned of it stays. The working directory is `directory` then.
int lay_over_root(struct run *r, int mount);
void take_off_root(int mount, int directory);

// Attaches the detached mount at the target; both descriptors are used up.
int attach(struct run *r, int mount, int target);
int is_directory(int fd);
