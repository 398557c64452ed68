// Walks through a cgroup and those below it, and knows which of them belong to others.
#pragma once
#include "executor/run.h"

// A walk calls `each` for a container's cgroup and all below it, until `each` returns something other than 0. Child
// cgroups that existed before the container belong to others: create journals each as used, and the walk skips them
// (`others`: there are some).
struct walk {
  int (*each)(struct walk *walk, int dir);
  struct run *r;
  const char *hierarchy, *path;
  int others, depth, too_deep;
};

#define DEPTH 128 // levels that a walk goes down

struct walk walk_of(struct run *r, const char *hierarchy, const char *path);
int walk(struct walk *walk, int dir); // `dir`: the cgroup; returns the result of `each`, or a negative errno
struct effect *child_effect(const struct walk *walk, const char *name, int make);

int is_populated(int dir); // does a process live in it, or below it?

// Journals a cgroup that existed before, and its child cgroups, which belong to others: 0 or the failure.
int use_cgroup(struct run *r, const char *hierarchy, const char *path, int dir);
int assert_no_strangers(struct run *r, const char *hierarchy, const char *path, int dir); // in those child cgroups
