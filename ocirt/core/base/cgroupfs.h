// Files of cgroups, which the mount of a hierarchy and a path below it name.
#pragma once
#include "base/text.h"

#define NAME_SIZE 256
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

// If *path lies below /sys/fs/cgroup, returns a descriptor of that directory and leaves the rest in *path; *top keeps
// the descriptor, -1 before the first call. Otherwise AT_FDCWD. A lookup through sysfs costs a microsecond each time,
// and waits while another process makes a network namespace.
int beneath_cgroupfs(int *top, const char **path);

// Appends the path of a cgroup, or of a `file` in it: 0, -ENAMETOOLONG, or -EXDEV if the path leads out of the
// hierarchy. The caller's own cgroup does that if it lies above the caller's cgroup namespace.
int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file);
long read_cgroup(const char *hierarchy, const char *path, const char *file, char *text, size_t size); // as read_file

// The number after the word `key` in a file of a cgroup, or the first one if `key` is empty; 0: none, or no file.
int64_t number_in_cgroup(const char *hierarchy, const char *path, const char *file, const char *key);
int write_control(int dir, const char *file, const char *text); // one write: 0 or negative errno

// Marks a parent cgroup as made by ocirt, so that the last container in it removes it.
void mark_as_made(const char *path);
int is_marked(const char *path);
