#include "cgroup/hierarchy.h"

#include "base/log.h"

int open_file(struct run *r, const char *hierarchy, const char *path, const char *file, int flags) {
  BUFFER(full, PATH_SIZE);
  int error = put_cgroup(&full, hierarchy, path, file);
  if (error) return error;
  const char *rest = full.data;
  int dir = beneath_cgroupfs(&r->cgroupfs, &rest);
  return sys_open(dir, rest, flags, 0);
}

int open_cgroup(struct run *r, const char *hierarchy, const char *path, int flags) {
  return open_file(r, hierarchy, path, "", flags | O_DIRECTORY);
}

uint64_t cgroup_key(const char *hierarchy, const char *path) {
  BUFFER(plain, PATH_SIZE);
  put_cgroup(&plain, "", path, "");
  return effect_key(hierarchy, plain.data);
}

// Handles a limit that the runtime cannot apply: a warning if the caller has asked for one, or an error that says what
// to do.
static int go_without(struct run *r, int64_t skip_unwritable, const char *call, int error) {
  if (!skip_unwritable)
    return failing_because(r, call, error,
        "the caller may not write the cgroup: have one delegated to it (a user gets one by a session of systemd's, "
        "with XDG_RUNTIME_DIR set, on cgroup v2), or go without by --rootless true");
  if (skip_unwritable == SKIP_WITH_WARNING)
    warn("%s: this limit is not applied: the caller may not write the cgroup", text_of(r->program, r->step->at));
  return 0;
}

int is_there(struct run *r, uint64_t hierarchy, int64_t skip_unwritable) {
  for (unsigned i = 0; i < r->n_skipped; i++)
    if (r->skipped[i] == hierarchy) return go_without(r, skip_unwritable, "check", -EACCES);
  return 1;
}

int skip_or_fail(struct run *r, uint64_t hierarchy, int64_t skip_unwritable, const char *call, int error) {
  if ((error != -EACCES && error != -EPERM && error != -EROFS) || r->n_skipped == COUNT(r->skipped))
    return failing(r, call, error);
  if (skip_unwritable) r->skipped[r->n_skipped++] = (uint32_t)hierarchy;
  return go_without(r, skip_unwritable, call, error);
}
