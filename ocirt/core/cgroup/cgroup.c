// Steps on cgroups: directories and files beneath a hierarchy's mount, every effect in the journal.

#include <poll.h>
#include <string.h>

#include "base/cgroupfs.h"
#include "base/files.h"
#include "base/wait.h"
#include "cgroup/cgroup2.h"
#include "cgroup/hierarchy.h"
#include "cgroup/tree.h"
#include "executor/execute.h"

static const char *file_of(const char *path, size_t length, const char *file) {
  STATIC_BUFFER(full, 4096 + NAME_SIZE);
  put_bytes(&full, path, length);
  put(&full, "/");
  put(&full, file);
  return full.data;
}

// Where `file` is empty in the cgroup that the first `length` bytes of `path` are, it gets what the one above has,
// which is brought about there first; in a `fresh` one it is. The first `top` bytes are the hierarchy. Size of `value`,
// or negative errno.
static long inherit(
    const char *path, size_t length, size_t top, const char *file, int fresh, char *value, size_t room) {
  long size = fresh ? 0 : read_at(file_of(path, length, file), value, room);
  if (size < 0 || size > 1 || length <= top) return size == -ENOENT ? 0 : size;
  size_t above = length;
  while (path[--above] != '/')
    ;
  if ((size = inherit(path, above, top, file, 0, value, room)) <= 0) return size;
  CLOSING int fd = open_at(file_of(path, length, file), O_WRONLY);
  long n = fd < 0 ? fd : sys_write(fd, value, (size_t)size);
  return n < 0 ? n : size;
}

// What a cgroup that is made, level by level, has in common. `effect` is that of the container's own cgroup in this
// hierarchy.
struct making {
  const char *hierarchy, *path;
  const struct texts *inherited;
  size_t top;
  int unified, owned_by_systemd;
  struct effect *effect;
};

// Why no container can live in one that was there before and is not `unified` (unfit is for those), or null.
static const char *taken(int dir, int owned_by_systemd) {
  char text[64];
  if (!owned_by_systemd && is_populated(dir)) return "it has processes in it, or in a cgroup below it, already";
  if (read_file(dir, "freezer.state", text, sizeof text) > 0 && strncmp(text, "THAWED", 6)) return "it is frozen";
  if (read_file(dir, "cgroup.freeze", text, sizeof text) > 0 && *text == '1') return "it is frozen";
  return 0;
}

// Makes one level that is missing: 0; 1 where somebody else made it meanwhile; or a negative errno. The journal is
// written first. The container's own cgroup has an effect with a state. Of the levels above, that effect names the
// first one that is ours, since all that come after it are ours, too.
static int make_directory(struct run *r, struct making *m, const char *path, int level, int last) {
  struct effect *effect = m->effect;
  uint32_t before = effect->number;
  if (last)
    effect->state = EFFECT_INTENDED;
  else if (!before)
    effect->number = (uint32_t)level + 1;
  int error = mkdir_at(path);
  if (last)
    effect->state = error ? EFFECT_UNDONE : EFFECT_MINE;
  else if (error)
    effect->number = error == -EEXIST ? (uint32_t)level + 2 : before;
  else
    mark(path);
  if (error == -EAGAIN) put(&r->detail, "cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached");
  return error == -EEXIST ? 1 : error;
}

// Takes a cgroup that was there before, if a container can live in it.
static int take_directory(struct run *r, struct making *m, const char *path) {
  // After a Spawn that was done again: made by the step that is being repeated.
  if (m->effect->state == EFFECT_MINE) return 0;
  CLOSING int dir = open_at(path, O_RDONLY | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  const char *wrong = m->unified ? unfit(dir, 1) : taken(dir, m->owned_by_systemd);
  if (wrong) {
    put(&r->detail, wrong);
    return failing(r, "check", -EBUSY);
  }
  return use_cgroup(r, m->hierarchy, m->path, dir);
}

// One that has just been made can be unfit, too: by what those above it are.
static int check_new(struct run *r, const char *path) {
  CLOSING int dir = open_at(path, O_RDONLY | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  const char *wrong = unfit(dir, 0);
  if (!wrong) return 0;
  put(&r->detail, wrong);
  return failing(r, "check", -EBUSY);
}

// One level: made if it is not there, journalled, its files inherited.
static int make_level(struct run *r, struct making *m, const char *path, int level, int last) {
  struct stat st;
  // Looked for first: what is intended is taken for ours if this is where it ends.
  int present = stat_at(path, &st) == 0;
  if (!present) {
    present = make_directory(r, m, path, level, last);
    if (present < 0) return failing(r, "mkdir", present);
  }
  for (uint32_t i = 0; i < m->inherited->count; i++) {
    char value[4096];
    long size = inherit(path, strlen(path), m->top, m->inherited->items[i], !present, value, sizeof value);
    if (size < 0) return failing(r, m->inherited->items[i], (int)size);
  }
  if (!last) return 0;
  if (present) return take_directory(r, m, path);
  return m->unified ? check_new(r, path) : 0;
}

static int make_levels(struct run *r, struct making *m) {
  BUFFER(full, 4096);
  int error = put_cgroup(&full, m->hierarchy, m->path, ""), level = 0;
  if (error) return failing(r, "mkdir", error);
  m->effect = need_effect(r, effect_key(m->hierarchy, full.data + m->top));
  if (!m->effect) return -E2BIG;
  // Most often all that is above it is there.
  error = m->unified ? -ENOENT : make_level(r, m, full.data, 0, 1);
  if (error != -ENOENT) return error;
  for (size_t at = m->top; at < full.used; level++) {
    if (m->unified) {
      full.data[at] = 0;
      CLOSING int dir = open_at(full.data, O_RDONLY | O_DIRECTORY);
      if (dir < 0) return failing(r, "open", dir);
      enable_controllers(r, dir, full.data + m->top);
      full.data[at] = '/';
    }
    at += 1 + strcspn(full.data + at + 1, "/");
    full.data[at] = 0;
    if ((error = make_level(r, m, full.data, level, at == full.used))) return error;
    if (at < full.used) full.data[at] = '/';
  }
  return 0;
}

int do_make_cgroup(struct run *r, const struct step_make_cgroup *s) {
  struct making making = {TEXT(hierarchy), TEXT(path), TEXTS(inherit), strlen(TEXT(hierarchy)), s->unified != 0,
      s->owned_by_systemd != 0, 0};
  int error = -ENOENT;
  // A parent may be removed by another container's delete between our look and our mkdir.
  for (int tries = 0; error == -ENOENT && tries < 16; tries++)
    error = make_levels(r, &making);
  if (error) return tolerated(r, s->hierarchy, NUMBER(tolerate), r->call, error);
  if (NUMBER(fd) < 0) return 0;
  int fd = open_file(TEXT(hierarchy), TEXT(path), TEXT(file), *TEXT(file) ? O_WRONLY : O_RDONLY | O_DIRECTORY);
  if (fd < 0) return tolerated(r, s->hierarchy, NUMBER(tolerate), "open", fd);
  sys_close(r->fds[s->fd]); // of a Spawn that is done again
  r->fds[s->fd] = fd;
  return 0;
}

// Line by line: files like io.max and devices.allow take one at a time. `line` is left at the one that was refused.
static int write_lines(int fd, const char **line) {
  do {
    size_t length = strcspn(*line, "\n");
    long n = sys_write(fd, *line, length);
    if (n < 0) return (int)n;
    *line += length + ((*line)[length] == '\n');
  } while (**line);
  return 0;
}

int do_write_cgroup(struct run *r, const struct step_write_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(tolerate));
  if (there <= 0) return there;
  const char *line = TEXT(value);
  int fd = open_file(TEXT(hierarchy), TEXT(path), TEXT(file), O_WRONLY);
  if (fd < 0) {
    if (fd == -ENOENT) explain_missing(r, TEXT(hierarchy), TEXT(path), TEXT(file));
    return tolerated(r, s->hierarchy, NUMBER(tolerate), "open", fd);
  }
  int error = write_lines(fd, &line);
  sys_close(fd);
  if (!error) return 0;
  char usage[64];
  long size = *TEXT(usage) ? read_cgroup(TEXT(hierarchy), TEXT(path), TEXT(usage), usage, sizeof usage) : 0;
  if (size > 0) {
    int above = !strncmp(TEXT(usage), "../", 3);
    format(&r->detail, above ? "in the cgroup above %s is " : "%s is ", TEXT(usage) + (above ? 3 : 0));
    put_bytes(&r->detail, usage, (size_t)size - (usage[size - 1] == '\n'));
  } else if (error == -EINVAL && !strncmp(TEXT(file), "devices.", 8) && *TEXT(value) == 'a') {
    put(&r->detail, "a cgroup with child cgroups takes no such rule: use one of the container's own");
  } else if (strchr(TEXT(value), '\n'))
    put_bytes(&r->detail, line, strcspn(line, "\n"));
  return failing(r, "write", error);
}

int do_open_cgroup(struct run *r, const struct step_open_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(tolerate));
  if (there <= 0) return there;
  int fd = open_file(TEXT(hierarchy), TEXT(path), TEXT(file), *TEXT(file) ? O_WRONLY : O_RDONLY | O_DIRECTORY);
  if (fd == -ENOENT && s->optional) return 0;
  if (fd < 0) return tolerated(r, s->hierarchy, NUMBER(tolerate), "open", fd);
  r->fds[s->fd] = fd;
  return 0;
}

// A single-threaded process that writes 0 to `tasks` moves itself without waiting for a grace period.
int do_join_cgroup(struct run *r, const struct step_join_cgroup *s) {
  int fd = r->fds[s->fd];
  if (fd < 0) return 0;
  long n = sys_write(fd, "0", 1);
  sys_close(fd);
  return n < 0 ? failing(r, "write", (int)n) : 0;
}

int do_assert_thawed(struct run *r, const struct step_assert_thawed *s) {
  char text[4096];
  long size = read_cgroup(TEXT(hierarchy), TEXT(path), TEXT(file), text, sizeof text);
  if (size == -ENOENT) return 0;
  if (size < 0) return failing(r, "read", (int)size);
  for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
    if (strcspn(line, "\n") == strlen(TEXT(thawed)) && !strncmp(line, TEXT(thawed), strlen(TEXT(thawed)))) return 0;
  put(&r->detail, TEXT(refusal));
  return failing(r, "", -EBUSY);
}

// ---- the freezer, and what state tells ----

#define FREEZE_SECONDS 10

static void pause_for(long microseconds) {
  struct timespec time = {0, microseconds * 1000};
  sys2(SYS_nanosleep, &time, 0);
}

static int says(int fd, const char *value) {
  char text[256];
  long n = sys4(SYS_pread64, fd, text, sizeof text - 1, 0);
  if (n < 0) return (int)n;
  text[n] = 0;
  return strstr(text, value) != 0;
}

// Waits until the v2 cgroup's file, open as `fd`, says that all in it are frozen: 1, 0 at the deadline, or a negative
// errno.
static int wait_frozen(int fd, int64_t deadline) {
  if (fd < 0) return fd;
  for (;;) {
    int frozen = says(fd, "frozen 1");
    int64_t left = deadline - milliseconds();
    if (frozen || left <= 0) return frozen;
    sys_poll(fd, POLLPRI, (int)left);
  }
}

// The kernel freezes whom it finds, and nobody tells when it has found all: who was made meanwhile is found by writing
// again, and where there are ever more of them a thaw now and then lets it begin anew. 1, 0 at the deadline, or a
// negative errno.
static int freeze(int fd, const char *value, const char *undo, int64_t deadline) {
  for (int tries = 1, frozen;; tries++) {
    if (tries % 100 == 0) {
      sys_write(fd, undo, strlen(undo));
      pause_for(10000);
    }
    long n = sys_write(fd, value, strlen(value));
    if (n < 0) return (int)n;
    if (tries % 20 == 0) pause_for(1000);
    if ((frozen = says(fd, value)) || milliseconds() >= deadline) return frozen;
  }
}

int do_freeze_cgroup(struct run *r, const struct step_freeze_cgroup *s) {
  CLOSING int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY);
  CLOSING int fd = dir < 0 ? dir : sys_openat2(dir, TEXT(file), O_RDWR, 0, BENEATH);
  if (fd < 0) return failing(r, "open", fd);
  int error = assert_no_strangers(r, TEXT(hierarchy), TEXT(path), dir);
  if (error) return error;
  int64_t deadline = milliseconds() + FREEZE_SECONDS * 1000L;
  int frozen = freeze(fd, TEXT(value), TEXT(undo), deadline);
  if (frozen > 0 && *TEXT(events)) {
    CLOSING int events = sys_openat2(dir, TEXT(events), O_RDONLY, 0, BENEATH);
    frozen = wait_frozen(events, deadline);
  }
  if (frozen > 0) return 0;
  sys_write(fd, TEXT(undo), strlen(TEXT(undo)));
  if (!frozen) format(&r->detail, "not all processes have frozen for %d s", FREEZE_SECONDS);
  return failing(r, "freeze", frozen ? frozen : -ETIMEDOUT);
}
