// Paths inside the rootfs, resolved from its descriptor.
#pragma once
#include "base/sys.h"

int resolve(int root, const char *path, uint64_t flags); // fd or negative errno
enum make_kind { MAKE_DIRECTORY, MAKE_FILE };
int resolve_or_make(int root, const char *path, enum make_kind kind, int mode); // O_PATH fd
int resolve_or_make_plain(int root, const char *path); // a directory; a link in the path is an error
int open_child(int parent, const char *name);
int make_child(int parent, const char *name, enum make_kind kind, int mode);
