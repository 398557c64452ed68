#pragma once
#include "base/sys.h"
#include "base/text.h"

// For a path beneath /sys/fs/cgroup, a descriptor of that and the rest of the path; otherwise AT_FDCWD. The way there
// through sysfs costs a microsecond each time, and waits while somebody makes a network namespace. Kept open until
// leave_top.
int beneath_top(const char **path);
void leave_top(void);
#define NAME_SIZE 256
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
int open_cgroup(const char *hierarchy, const char *path, int flags); // its directory: fd or negative errno

// Appends the path of a cgroup, or of a file in it: 0, or a negative errno where it leads out of the hierarchy or is
// too long.
int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file);
void mark(const char *path); // a level above a container's: made by one of us
int is_marked(const char *path);
int write_control(int dir, const char *file, const char *text); // one write: 0 or negative errno
int open_at(const char *path, int flags);
long read_at(const char *path, char *text, size_t size); // as read_file
int stat_at(const char *path, struct stat *st); // of no link
int mkdir_at(const char *path);
int rmdir_at(const char *path);
int open_file(const char *hierarchy, const char *path, const char *file, int flags);
long read_cgroup(const char *hierarchy, const char *path, const char *file, char *text, size_t size);
