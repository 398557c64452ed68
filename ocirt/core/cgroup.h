// What the files of steps on cgroups share.
#pragma once
#include "core.h"

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

// 0 where the step tolerates that the hierarchy was passed over, or 1: it is there. Otherwise the error.
int is_there(struct run *r, uint64_t hierarchy, int64_t tolerate);
// With `tolerate`, a hierarchy that may not be written is passed over from here on: 0. Otherwise the error.
int tolerated(struct run *r, uint64_t hierarchy, int64_t tolerate, const char *call, int error);
uint64_t cgroup_key(const char *hierarchy, const char *path);                // of its effect in the journal
int open_cgroup(const char *hierarchy, const char *path, int flags);        // its directory: fd or negative errno
int remove_left(const char *hierarchy, const char *path, int dir);          // if it is `dir` and empty: 0 or negative errno
int write_control(int dir, const char *file, const char *text);             // one write: 0 or negative errno

// ---- beneath.c: by beneath_top; negative errno ----

int open_at(const char *path, int flags);
long read_at(const char *path, char *text, size_t size);                    // as read_file
int stat_at(const char *path, struct stat *st);                             // of no link
int mkdir_at(const char *path);
int rmdir_at(const char *path);

// ---- unified.c: cgroup v2 ----

char *unified_path(int pid, char *text, size_t size);        // of its cgroup, as /proc/PID/cgroup has it, or null
char *systemd_path(int pid, char *text, size_t size);        // the same in systemd's own hierarchy, of v1 where there is one
int open_cgroup_of_init(struct run *r, const char *hierarchy);  // in which that is now: fd or negative errno

void enable_controllers(struct run *r, int dir, const char *path);
const char *unfit(int dir, int present);                      // why no container can live in it, or null
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file);
