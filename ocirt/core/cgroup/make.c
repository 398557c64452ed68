// MakeCgroup: makes a container's cgroup in one hierarchy, level by level, and journals it.

#include <string.h>

#include "base/files.h"
#include "cgroup/cgroup2.h"
#include "cgroup/hierarchy.h"
#include "cgroup/tree.h"
#include "executor/execute.h"

// A cgroup that is being made. `path` is cut at the present level; its first `top` bytes are the hierarchy. `effect` is
// that of the container's own cgroup.
struct making {
  struct run *r;
  const char *hierarchy, *below;
  const struct texts *inherited;
  int unified, owned_by_systemd;
  size_t top;
  struct effect *effect;
  char path[PATH_SIZE];
};

// Opens `file` of the cgroup that the first `length` bytes of the path name.
static int open_at(struct making *m, size_t length, const char *file, int flags) {
  STATIC_BUFFER(full, PATH_SIZE + NAME_SIZE);
  put_bytes(&full, m->path, length);
  if (*file) format(&full, "/%s", file);
  const char *rest = full.data;
  int dir = beneath_cgroupfs(&m->r->cgroupfs, &rest);
  return sys_open(dir, rest, flags, 0);
}

// If `file` is empty in the cgroup of `length` bytes, copies the value of the parent, after doing the same for the
// parent. `fresh`: known to be empty. Returns the size of `value`, or a negative errno.
static long inherit(struct making *m, size_t length, const char *file, int fresh, char *value, size_t room) {
  CLOSING int from = fresh ? -1 : open_at(m, length, file, O_RDONLY);
  long size = fresh ? 0 : from < 0 ? from : sys_read(from, value, room);
  if (size < 0 || size > 1 || length <= m->top) return size == -ENOENT ? 0 : size;
  size_t above = length;
  while (m->path[--above] != '/')
    ;
  if ((size = inherit(m, above, file, 0, value, room)) <= 0) return size;
  CLOSING int fd = open_at(m, length, file, O_WRONLY);
  long n = fd < 0 ? fd : sys_write(fd, value, (size_t)size);
  return n < 0 ? n : size;
}

// Makes a missing level: 0, 1 if another process has made it meanwhile, or a negative errno. It writes the journal
// first: the effect of the container's own cgroup has a state, and names the first level above that the runtime makes.
// All levels after that one are the runtime's, too.
static int make_directory(struct making *m, int dir, const char *rest, int level, int last) {
  struct effect *effect = m->effect;
  uint32_t before = effect->number;
  if (last)
    effect->state = EFFECT_INTENDED;
  else if (!before)
    effect->number = (uint32_t)level + 1;
  int error = sys_mkdir(dir, rest, 0755);
  if (last)
    effect->state = error ? EFFECT_UNDONE : EFFECT_MINE;
  else if (error)
    effect->number = error == -EEXIST ? (uint32_t)level + 2 : before;
  else
    mark_as_made(m->path);
  if (error == -EAGAIN) put(&m->r->detail, "cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached");
  return error == -EEXIST ? 1 : error;
}

// Why the state of a v2 cgroup, or of those above it, lets no container live there; or null.
static const char *v2_obstacle(int dir, int present) {
  char text[256];
  if (read_file(dir, "cgroup.type", text, sizeof text) > 0 && strcmp(text, "domain\n"))
    return strncmp(text, "domain invalid", 14) ? "it is part of a threaded cgroup" : "a cgroup above it is threaded";
  if (!present && read_file(dir, "cgroup.events", text, sizeof text) > 0 && strstr(text, "frozen 1"))
    return "a cgroup above it is frozen";
  if (present && read_file(dir, "cgroup.subtree_control", text, sizeof text) > 1)
    return "it has controllers enabled for its children, and so takes no process";
  return 0;
}

// Why what a cgroup already contains lets no container live there; or null. Systemd makes a cgroup and moves the child
// there before the runtime sees it.
static const char *content_obstacle(int dir, int owned_by_systemd) {
  char text[64];
  if (!owned_by_systemd && is_populated(dir)) return "it has processes in it already, or in a cgroup below it";
  if (read_file(dir, "freezer.state", text, sizeof text) > 0 && strncmp(text, "THAWED", 6)) return "it is frozen";
  if (read_file(dir, "cgroup.freeze", text, sizeof text) > 0 && *text == '1') return "it is frozen";
  return 0;
}

// Fails if no container can live in the cgroup. The cgroups above can make even a new one unfit.
static int check_fit(struct making *m, int present) {
  struct run *r = m->r;
  // A retried Spawn repeats this step on a cgroup that the runtime has made.
  if (present ? m->effect->state == EFFECT_MINE : !m->unified) return 0;
  CLOSING int dir = open_at(m, strlen(m->path), "", O_RDONLY | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  const char *wrong = m->unified ? v2_obstacle(dir, present) : 0;
  if (!wrong && present) wrong = content_obstacle(dir, !m->unified && m->owned_by_systemd);
  if (!wrong) return present ? use_cgroup(r, m->hierarchy, m->below, dir) : 0;
  return failing_because(r, "check", -EBUSY, wrong);
}

// Makes one level if it is missing, and copies the parent's values. Looks before it journals the level as intended: if
// the runtime is killed here, delete takes an intended cgroup for the container's own.
static int make_level(struct making *m, int level, int last) {
  struct stat st;
  const char *rest = m->path;
  int dir = beneath_cgroupfs(&m->r->cgroupfs, &rest), present = sys_stat(dir, rest, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!present) present = make_directory(m, dir, rest, level, last);
  if (present < 0) return failing(m->r, "mkdir", present);
  for (uint32_t i = 0; i < m->inherited->count; i++) {
    char value[4096];
    long size = inherit(m, strlen(m->path), m->inherited->items[i], !present, value, sizeof value);
    if (size < 0) return failing(m->r, m->inherited->items[i], (int)size);
  }
  return last ? check_fit(m, present) : 0;
}

static int make_levels(struct making *m) {
  struct buffer full = {m->path, sizeof m->path, 0, 0};
  int error = put_cgroup(&full, m->hierarchy, m->below, ""), level = 0;
  if (error) return failing(m->r, "mkdir", error);
  m->effect = need_effect(m->r, effect_key(m->hierarchy, m->path + m->top));
  if (!m->effect) return -E2BIG;
  // On v1 all levels above usually exist.
  error = m->unified ? -ENOENT : make_level(m, 0, 1);
  if (error != -ENOENT) return error;
  for (size_t at = m->top; at < full.used; level++) {
    m->path[at] = 0;
    if (m->unified && (error = enable_controllers(m->r, open_at(m, at, "", O_RDONLY | O_DIRECTORY)))) return error;
    m->path[at] = '/';
    at += 1 + strcspn(m->path + at + 1, "/");
    m->path[at] = 0;
    if ((error = make_level(m, level, at == full.used))) return error;
    if (at < full.used) m->path[at] = '/';
  }
  return 0;
}

int do_make_cgroup(struct run *r, const struct step_make_cgroup *s) {
  struct making making = {.r = r,
      .hierarchy = TEXT(hierarchy),
      .below = TEXT(path),
      .inherited = TEXTS(inherit),
      .unified = s->unified != 0,
      .owned_by_systemd = s->owned_by_systemd != 0,
      .top = strlen(TEXT(hierarchy))};
  int error = -ENOENT;
  // Another container's delete may remove a parent before this mkdir.
  for (int tries = 0; error == -ENOENT && tries < 16; tries++)
    error = make_levels(&making);
  if (error) return skip_or_fail(r, s->hierarchy, NUMBER(skip_unwritable), r->call, error);
  if (NUMBER(fd) < 0) return 0;
  int fd = open_file(r, TEXT(hierarchy), TEXT(path), TEXT(file), *TEXT(file) ? O_WRONLY : O_RDONLY | O_DIRECTORY);
  if (fd < 0) return skip_or_fail(r, s->hierarchy, NUMBER(skip_unwritable), "open", fd);
  sys_close(r->fds[s->fd]); // open if a Spawn is retried
  r->fds[s->fd] = fd;
  return 0;
}
