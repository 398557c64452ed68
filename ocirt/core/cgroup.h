// What the files of steps on cgroups share.
#pragma once
#include "core.h"

#define NAME_SIZE 256
#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

#define TOLERATE_WARNING 2

// 0 where the step tolerates that the hierarchy was passed over, or 1: it is there. Otherwise the error.
int is_there(struct run *r, uint64_t hierarchy, int64_t tolerate);
// With `tolerate`, a hierarchy that may not be written is passed over from here on: 0. Otherwise the error.
int tolerated(struct run *r, uint64_t hierarchy, int64_t tolerate, const char *call, int error);
uint64_t cgroup_key(const char *hierarchy, const char *path); // of its effect in the journal
int open_cgroup(const char *hierarchy, const char *path, int flags); // its directory: fd or negative errno
// Appends the path of a cgroup, or of a file in it: 0, or a negative errno where it leads out of the hierarchy or is
// too long.
int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file);
void mark(const char *path); // a level above a container's: made by one of us
int is_marked(const char *path);
int write_control(int dir, const char *file, const char *text); // one write: 0 or negative errno

// ---- tree.c: a cgroup with all below it ----

int is_populated(int dir); // does a process live in it, or below it?
// Journals a cgroup that was there before, and its child cgroups, which are others': 0, or a negative errno of which
// all is said.
int use_cgroup(struct run *r, const char *hierarchy, const char *path, int dir);
int assert_no_strangers(struct run *r, const char *hierarchy, const char *path, int dir); // in those child cgroups
int remove_left(
    struct run *r, const char *hierarchy, const char *path, int dir); // if it is `dir` and empty: 0 or negative errno

// ---- beneath.c: by beneath_top; negative errno ----

int open_at(const char *path, int flags);
long read_at(const char *path, char *text, size_t size); // as read_file
int stat_at(const char *path, struct stat *st); // of no link
int mkdir_at(const char *path);
int rmdir_at(const char *path);

// ---- unified.c: cgroup v2 ----

char *unified_path(int pid, char *text, size_t size); // of its cgroup, as /proc/PID/cgroup has it, or null
char *systemd_path(int pid, char *text, size_t size); // the same in systemd's own hierarchy, of v1 where there is one
int open_cgroup_of_init(struct run *r, const char *hierarchy); // in which that is now: fd or negative errno

void enable_controllers(struct run *r, int dir, const char *path);
const char *unfit(int dir, int present); // why no container can live in it, or null
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file);
