// Paths at which steps make something, resolved in the rootfs. All return an O_PATH descriptor or a negative errno.
#pragma once
#include "base/path.h"
#include "executor/run.h"

// The parent directory, made if it is missing, and the last component of the path.
int resolve_parent(struct run *r, const char *path, const char **name);

// What the path leads to, made if it is missing.
int resolve_target(struct run *r, const char *path, enum make_kind kind);

// The same, but a last component that is a link is meant itself.
int resolve_or_make_last(struct run *r, const char *path, enum make_kind kind);
