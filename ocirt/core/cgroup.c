// Steps on cgroups: directories and files beneath a hierarchy's mount, every effect in the journal.
#include "cgroup.h"

#include <poll.h>
#include <string.h>

#define MARK "trusted.ocirt"
#define MARK_OF_USER "user.ocirt"

// A limit that cannot be had: the caller has asked for a warning, or the error names the ways out.
static int go_without(struct run *r, int64_t tolerate, const char *call, int error) {
  if (!tolerate) {
    put(&r->detail, "the caller may not write the cgroup: have one delegated to it (a user gets one by a session of "
                    "systemd's, with "
                    "XDG_RUNTIME_DIR set, on cgroup v2), or go without by --rootless true");
    return failing(r, call, error);
  }
  if (tolerate != TOLERATE_WARNING) return 0;
  BUFFER(said, LOG_LINE);
  format(&said, "%s: this limit is not applied: the caller may not write the cgroup", text_of(r->program, r->step->at));
  log_line("warning", said.data);
  return 0;
}

int is_there(struct run *r, uint64_t hierarchy, int64_t tolerate) {
  for (unsigned i = 0; i < r->n_passed_over; i++)
    if (r->passed_over[i] == hierarchy) return go_without(r, tolerate, "check", -EACCES);
  return 1;
}

int tolerated(struct run *r, uint64_t hierarchy, int64_t tolerate, const char *call, int error) {
  if ((error != -EACCES && error != -EPERM && error != -EROFS) || r->n_passed_over == COUNT(r->passed_over))
    return failing(r, call, error);
  if (tolerate) r->passed_over[r->n_passed_over++] = (uint32_t)hierarchy;
  return go_without(r, tolerate, call, error);
}

// A cgroup, or a file in it, by one path: a hierarchy is a mount of the host's, and there are no links in it. 0, or
// -EXDEV: it leads out of the hierarchy, as the caller's own cgroup does where that lies above its cgroup namespace.
int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file) {
  put(to, hierarchy);
  for (const char *name = path; *(name += strspn(name, "/"));) {
    size_t length = strcspn(name, "/");
    if (length == 2 && name[0] == '.' && name[1] == '.') return -EXDEV;
    put(to, "/");
    put_bytes(to, name, length);
    name += length;
  }
  if (*file) {
    put(to, "/");
    put(to, file);
  }
  return to->full ? -ENAMETOOLONG : 0;
}

static int open_file(const char *hierarchy, const char *path, const char *file, int flags) {
  BUFFER(full, 4096);
  int error = put_cgroup(&full, hierarchy, path, file);
  return error ? error : open_at(full.data, flags);
}

static long read_cgroup(const char *hierarchy, const char *path, const char *file, char *text, size_t size) {
  BUFFER(full, 4096);
  *text = 0;
  int error = put_cgroup(&full, hierarchy, path, file);
  return error ? error : read_at(full.data, text, size);
}

uint64_t cgroup_key(const char *hierarchy, const char *path) {
  BUFFER(plain, 4096);
  put_cgroup(&plain, "", path, "");
  return effect_key(hierarchy, plain.data);
}

int open_cgroup(const char *hierarchy, const char *path, int flags) {
  return open_file(hierarchy, path, "", flags | O_DIRECTORY);
}

int write_control(int dir, const char *file, const char *text) {
  CLOSING int fd = sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
  long n = fd < 0 ? fd : sys_write(fd, text, strlen(text));
  return n < 0 ? (int)n : 0;
}

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

// Whichever container leaves a shared parent last removes it, if one of us made it. Without privileges the mark is one
// that any owner of the directory can make.
void mark(const char *path) {
  if (sys5(SYS_setxattr, path, MARK, "1", 1, 0) == -EPERM) sys5(SYS_setxattr, path, MARK_OF_USER, "1", 1, 0);
}

int is_marked(const char *path) {
  char names[1024];
  struct stat st;
  long size = sys3(SYS_listxattr, path, names, sizeof names);
  for (long at = 0; at < size; at += (long)strlen(names + at) + 1) {
    if (!strcmp(names + at, MARK)) return 1;
    if (!strcmp(names + at, MARK_OF_USER))
      return sys_stat(AT_FDCWD, path, &st, 0) == 0 && st.st_uid == (uint32_t)sys0(SYS_geteuid);
  }
  return 0;
}

// What a cgroup that is made, level by level, has in common. `effect` is that of the container's own cgroup in this
// hierarchy.
struct making {
  const char *hierarchy, *path;
  const struct texts *inherited;
  size_t top;
  int unified, held;
  struct effect *effect;
};

// Why no container can live in one that was there before and is not `unified` (unfit is for those), or null.
static const char *taken(int dir, int held) {
  char text[64];
  if (!held && is_populated(dir)) return "it has processes in it, or in a cgroup below it, already";
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
  const char *wrong = m->unified ? unfit(dir, 1) : taken(dir, m->held);
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
  struct making making = {
      TEXT(hierarchy), TEXT(path), TEXTS(inherit), strlen(TEXT(hierarchy)), s->unified != 0, s->held != 0, 0};
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

// The step of the section state that has this code; null: there is none.
static const struct step *telling(const struct program *p, unsigned code) {
  if (!p->base) return 0;
  const struct step *end = section_end(p, SECTION_STATE);
  for (const struct step *step = section_first(p, SECTION_STATE); step < end; step = next_step(step))
    if (step->code == code) return step;
  return 0;
}

int is_paused(const struct program *p) {
  const struct step_tell_paused *s = (const void *)telling(p, STEP_TELL_PAUSED);
  char text[16];
  return s && read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->file), text, sizeof text) > 0 &&
         *text == '1';
}

void put_paused_file(struct buffer *to, const struct program *p) {
  const struct step_tell_paused *s = (const void *)telling(p, STEP_TELL_PAUSED);
  if (!s) return;
  put(to, text_of(p, s->hierarchy));
  put(to, text_of(p, s->path));
  put(to, "/");
  put(to, text_of(p, s->file));
}

int64_t oom_kills(const struct program *p) {
  const struct step_tell_oom_kills *s = (const void *)telling(p, STEP_TELL_OOM_KILLS);
  char text[1024];
  if (!s || read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->file), text, sizeof text) <= 0)
    return 0;
  const char *key = text_of(p, s->key);
  size_t length = strlen(key);
  for (char *line = text; *line; line += *line == '\n') {
    char *end = line + strcspn(line, "\n"), last = *end;
    int64_t number;
    *end = 0;
    if (!strncmp(line, key, length) && line[length] == ' ' && !parse_number(line + length + 1, &number)) return number;
    *end = last;
    line = end;
  }
  return 0;
}

int64_t memory_peak(const struct program *p) {
  const struct step_tell_oom_kills *s = (const void *)telling(p, STEP_TELL_OOM_KILLS);
  char text[32];
  int64_t peak;
  if (!s || !*text_of(p, s->peak)) return 0;
  if (read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->peak), text, sizeof text) <= 0) return 0;
  text[strcspn(text, "\n")] = 0;
  return parse_number(text, &peak) ? 0 : peak;
}

void put_oom(struct buffer *to, const struct program *p, int joins) {
  int64_t killed = oom_kills(p);
  if (!killed) return;
  // In a cgroup that was there before, others may have been killed.
  put(to, " (out of memory");
  if (joins) {
    put(to, ", ");
    put_number(to, killed);
    put(to, killed == 1 ? " process killed in the container" : " processes killed in the container");
  }
  put(to, ": is linux.resources.memory.limit too small?)");
}

int do_tell_paused(struct run *r, const struct step_tell_paused *s) {
  (void)r;
  (void)s;
  return 0;
}
int do_tell_oom_kills(struct run *r, const struct step_tell_oom_kills *s) {
  (void)r;
  (void)s;
  return 0;
}
