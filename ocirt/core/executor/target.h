#pragma once
#include "base/sys.h"
#include "base/path.h"
#include "executor/run.h"

int resolve_or_make_last(struct run *r, const char *path, enum make_kind kind,
    int mode); // the same; a last component that is a link is meant itself

// The parent directory of path (made where missing) and the last component. It stays open for the steps that come next,
// as r->directory: one that makes something in the same, or mounts something there, needs no walk.
int resolve_parent(struct run *r, const char *path, const char **name);
void forget_directory(struct run *r);

int resolve_target(
    struct run *r, const char *path, enum make_kind kind); // for a mount: O_PATH fd, made where it is missing
