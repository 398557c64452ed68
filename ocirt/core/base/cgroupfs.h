// Cgroups by path: the mount of a hierarchy, and a path below it.
#pragma once
#include "base/sys.h"
#include "base/text.h"

#define NAME_SIZE 256
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

// For a *path below /sys/fs/cgroup: a descriptor of that directory, opened where *top is -1 and kept there, and *path
// is the rest. Otherwise AT_FDCWD. The way through sysfs costs a microsecond each time, and waits while somebody makes
// a network namespace.
int beneath_cgroupfs(int *top, const char **path);

// Appends the path of a cgroup, or of a `file` in it: 0, -EXDEV (it leads out of the hierarchy, as the caller's own
// cgroup does if that lies above its cgroup namespace), or -ENAMETOOLONG.
int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file);
long read_cgroup(const char *hierarchy, const char *path, const char *file, char *text, size_t size); // as read_file
int write_control(int dir, const char *file, const char *text); // one write: 0 or negative errno

// A mark on a cgroup above a container's says that ocirt made it: the last container in it removes it.
void mark(const char *path);
int is_marked(const char *path);
