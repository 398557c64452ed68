// Steps on cgroups: directories and files beneath a hierarchy's mount, every effect in the journal.
#include "cgroup.h"

#include <dirent.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#define MARK "trusted.ocirt"
#define MARK_OF_USER "user.ocirt"
#define NAME_SIZE 256

int is_there(struct run *r, uint64_t hierarchy, int64_t tolerate) {
  for (unsigned i = 0; i < r->n_passed_over; i++) {
    if (r->passed_over[i] != hierarchy) continue;
    if (tolerate) return 0;
    put(&r->detail, "the cgroup could not be made: a limit needs one that this user may make");
    return failing(r, "check", -EACCES);
  }
  return 1;
}

int tolerated(struct run *r, uint64_t hierarchy, int64_t tolerate, const char *call, int error) {
  if (!tolerate || (error != -EACCES && error != -EPERM && error != -EROFS) || r->n_passed_over == COUNT(r->passed_over))
    return failing(r, call, error);
  r->passed_over[r->n_passed_over++] = (uint32_t)hierarchy;
  return 0;
}

// A cgroup, or a file in it, by one path: a hierarchy is a mount of the host's, and there are no links in it. 0, or -EXDEV: it
// leads out of the hierarchy, as the caller's own cgroup does where that lies above its cgroup namespace.
static int put_cgroup(struct buffer *to, const char *hierarchy, const char *path, const char *file) {
  put(to, hierarchy);
  for (const char *name = path; *(name += strspn(name, "/")); ) {
    size_t length = strcspn(name, "/");
    if (length == 2 && name[0] == '.' && name[1] == '.') return -EXDEV;
    put(to, "/"); put_bytes(to, name, length);
    name += length;
  }
  if (*file) { put(to, "/"); put(to, file); }
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
  int fd = sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
  if (fd < 0) return fd;
  long n = sys_write(fd, text, strlen(text));
  sys_close(fd);
  return n < 0 ? (int)n : 0;
}

static const char *file_of(const char *path, size_t length, const char *file) {
  STATIC_BUFFER(full, 4096 + NAME_SIZE);
  put_bytes(&full, path, length); put(&full, "/"); put(&full, file);
  return full.data;
}

// Where `file` is empty in the cgroup that the first `length` bytes of `path` are, it gets what the one above has, which is
// brought about there first; in a `fresh` one it is. The first `top` bytes are the hierarchy. Size of `value`, or negative errno.
static long inherit(const char *path, size_t length, size_t top, const char *file, int fresh, char *value, size_t room) {
  long size = fresh ? 0 : read_at(file_of(path, length, file), value, room);
  if (size < 0 || size > 1 || length <= top) return size == -ENOENT ? 0 : size;
  size_t above = length;
  while (path[--above] != '/');
  if ((size = inherit(path, above, top, file, 0, value, room)) <= 0) return size;
  int fd = open_at(file_of(path, length, file), O_WRONLY);
  long n = fd < 0 ? fd : sys_write(fd, value, (size_t)size);
  sys_close(fd);
  return n < 0 ? n : size;
}

// Whichever container leaves a shared parent last removes it, if one of us made it. Without privileges the mark is one
// that any owner of the directory can make.
static void mark(const char *path) {
  if (sys5(SYS_setxattr, path, MARK, "1", 1, 0) == -EPERM) sys5(SYS_setxattr, path, MARK_OF_USER, "1", 1, 0);
}

static int is_marked(const char *path) {
  char names[1024];
  struct stat st;
  long size = sys3(SYS_listxattr, path, names, sizeof names);
  for (long at = 0; at < size; at += (long)strlen(names + at) + 1) {
    if (!strcmp(names + at, MARK)) return 1;
    if (!strcmp(names + at, MARK_OF_USER)) return sys_stat(AT_FDCWD, path, &st, 0) == 0 && st.st_uid == (uint32_t)sys0(SYS_geteuid);
  }
  return 0;
}

// What a cgroup that is made, level by level, has in common.
struct making { const char *hierarchy; const struct texts *inherited; size_t top; int unified, held; };

// Why no container can live in one that was there before and is not `unified` (unfit is for those), or null.
static const char *taken(int dir, int held) {
  char text[64];
  if (!held && read_file(dir, "cgroup.procs", text, sizeof text) > 0) return "it has processes in it already";
  if (read_file(dir, "freezer.state", text, sizeof text) > 0 && strncmp(text, "THAWED", 6)) return "it is frozen";
  if (read_file(dir, "cgroup.freeze", text, sizeof text) > 0 && *text == '1') return "it is frozen";
  return 0;
}

// One level: made if it is not there, journalled, its files inherited.
static int make_level(struct run *r, const struct making *m, const char *path, int last) {
  struct stat st;
  struct effect *effect = 0;
  uint64_t key = effect_key(m->hierarchy, path + m->top);
  // Looked for first: what is intended is taken for ours if this is where it ends.
  int present = stat_at(path, &st) == 0;
  if (!present) {
    if (!(effect = effect_of(r->container->journal, key, 1))) return failing(r, "journal", -E2BIG);
    effect->state = EFFECT_INTENDED;
    int error = mkdir_at(path);
    effect->state = error ? EFFECT_UNDONE : EFFECT_MINE;
    if (error == -EAGAIN) put(&r->detail, "cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached");
    if (error && error != -EEXIST) return failing(r, "mkdir", error);
    present = error != 0;
  }
  if (!present && !last) mark(path);
  for (uint32_t i = 0; i < m->inherited->count; i++) {
    char value[4096];
    long size = inherit(path, strlen(path), m->top, m->inherited->items[i], !present, value, sizeof value);
    if (size < 0) return failing(r, m->inherited->items[i], (int)size);
  }
  if (!last || (!present && !m->unified)) return 0;
  // After a Spawn that was done again: made by the step that is being repeated.
  if (present && !effect && (effect = effect_of(r->container->journal, key, 0)) && effect->state == EFFECT_MINE) return 0;
  int dir = open_at(path, O_RDONLY | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  const char *wrong = m->unified ? unfit(dir, present) : taken(dir, m->held);
  sys_close(dir);
  if (wrong) {
    put(&r->detail, wrong);
    return failing(r, "check", -EBUSY);
  }
  if (!present) return 0;
  if (!effect && !(effect = effect_of(r->container->journal, key, 1))) return failing(r, "journal", -E2BIG);
  effect->state = EFFECT_USED;
  return 0;
}

static int make_levels(struct run *r, const struct making *m, const char *path) {
  BUFFER(full, 4096);
  int error = put_cgroup(&full, m->hierarchy, path, "");
  if (error) return failing(r, "mkdir", error);
  // Most often all that is above it is there.
  error = m->unified ? -ENOENT : make_level(r, m, full.data, 1);
  if (error != -ENOENT) return error;
  for (size_t at = m->top; at < full.used; ) {
    if (m->unified) {
      full.data[at] = 0;
      int dir = open_at(full.data, O_RDONLY | O_DIRECTORY);
      if (dir < 0) return failing(r, "open", dir);
      enable_controllers(r, dir, full.data + m->top);
      sys_close(dir);
      full.data[at] = '/';
    }
    at += 1 + strcspn(full.data + at + 1, "/");
    full.data[at] = 0;
    if ((error = make_level(r, m, full.data, at == full.used))) return error;
    if (at < full.used) full.data[at] = '/';
  }
  return 0;
}

int do_make_cgroup(struct run *r, const struct step_make_cgroup *s) {
  struct making making = {TEXT(hierarchy), TEXTS(inherit), strlen(TEXT(hierarchy)), s->unified != 0, s->held != 0};
  int error = -ENOENT;
  // A parent may be removed by another container's delete between our look and our mkdir.
  for (int tries = 0; error == -ENOENT && tries < 16; tries++) error = make_levels(r, &making, TEXT(path));
  if (error) return tolerated(r, s->hierarchy, NUMBER(tolerate), r->call, error);
  if (NUMBER(fd) < 0) return 0;
  int fd = open_file(TEXT(hierarchy), TEXT(path), TEXT(file), *TEXT(file) ? O_WRONLY : O_RDONLY | O_DIRECTORY);
  if (fd < 0) return tolerated(r, s->hierarchy, NUMBER(tolerate), "open", fd);
  sys_close(r->fds[s->fd]);  // of a Spawn that is done again
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
    put(&r->detail, TEXT(usage)); put(&r->detail, " is "); put_bytes(&r->detail, usage, (size_t)size - (usage[size - 1] == '\n'));
  } else if (strchr(TEXT(value), '\n')) put_bytes(&r->detail, line, strcspn(line, "\n"));
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

int do_thaw_cgroup(struct run *r, const struct step_thaw_cgroup *s) {
  if (!effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0)) return 0;
  int fd = open_file(TEXT(hierarchy), TEXT(path), TEXT(file), O_WRONLY);
  if (fd >= 0) sys_write(fd, TEXT(value), strlen(TEXT(value)));
  sys_close(fd);
  return 0;
}

// ---- the freezer, and what state tells ----

#define FREEZE_TRIES 2000
#define FREEZE_SECONDS 10

static void pause_for(long microseconds) {
  struct timespec time = {0, microseconds * 1000};
  sys2(SYS_nanosleep, &time, 0);
}

// Waits until the v2 cgroup's file, open as `fd`, says that all in it are frozen; closes it.
static int wait_frozen(int fd) {
  char text[256];
  int left = FREEZE_SECONDS * 10;
  if (fd < 0) return fd;
  for (;; left--) {
    long n = sys4(SYS_pread64, fd, text, sizeof text - 1, 0);
    if (n < 0) { sys_close(fd); return (int)n; }
    text[n] = 0;
    if (strstr(text, "frozen 1") || !left) break;
    sys_poll(fd, POLLPRI, 100);
  }
  sys_close(fd);
  return left ? 0 : -ETIMEDOUT;
}

static int says(int fd, const char *value) {
  char text[64];
  long n = sys4(SYS_pread64, fd, text, sizeof text - 1, 0);
  if (n < 0) return (int)n;
  text[n] = 0;
  return !strncmp(text, value, strlen(value));
}

int do_freeze_cgroup(struct run *r, const struct step_freeze_cgroup *s) {
  int fd = open_file(TEXT(hierarchy), TEXT(path), TEXT(file), O_RDWR), frozen = 0, waited = 0;
  if (fd < 0) return failing(r, "open", fd);
  long n = 0;
  // The kernel freezes whom it finds, and nobody tells when it has found all: who was made meanwhile is found by writing
  // again, and where there are ever more of them a thaw now and then lets it begin anew.
  for (int tries = 1; !frozen && n >= 0 && tries <= FREEZE_TRIES; tries++) {
    if (tries % 100 == 0) { sys_write(fd, TEXT(undo), strlen(TEXT(undo))); pause_for(10000); }
    n = sys_write(fd, TEXT(value), strlen(TEXT(value)));
    if (tries % 20 == 0) pause_for(1000);
    if (n >= 0 && (frozen = says(fd, TEXT(value))) < 0) n = frozen;
  }
  if (frozen > 0 && *TEXT(events)) waited = wait_frozen(open_file(TEXT(hierarchy), TEXT(path), TEXT(events), O_RDONLY));
  if (frozen <= 0 || waited) sys_write(fd, TEXT(undo), strlen(TEXT(undo)));
  sys_close(fd);
  if (waited == -ETIMEDOUT) {
    put(&r->detail, "not all processes have frozen for "); put_number(&r->detail, FREEZE_SECONDS); put(&r->detail, " s");
  }
  if (waited) return failing(r, "freeze", waited);
  if (frozen > 0) return 0;
  if (n < 0) return failing(r, "freeze", (int)n);
  put(&r->detail, "processes that do not freeze were found in "); put_number(&r->detail, FREEZE_TRIES); put(&r->detail, " tries");
  return failing(r, "freeze", -EBUSY);
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
  put(to, text_of(p, s->hierarchy)); put(to, text_of(p, s->path)); put(to, "/"); put(to, text_of(p, s->file));
}

int64_t oom_kills(const struct program *p) {
  const struct step_tell_oom_kills *s = (const void *)telling(p, STEP_TELL_OOM_KILLS);
  char text[1024];
  if (!s || read_cgroup(text_of(p, s->hierarchy), text_of(p, s->path), text_of(p, s->file), text, sizeof text) <= 0) return 0;
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
  if (joins) { put(to, ", "); put_number(to, killed); put(to, killed == 1 ? " process killed in the container" : " processes killed in the container"); }
  put(to, ": is linux.resources.memory.limit too small?)");
}

int do_tell_paused(struct run *r, const struct step_tell_paused *s) { (void)r; (void)s; return 0; }
int do_tell_oom_kills(struct run *r, const struct step_tell_oom_kills *s) { (void)r; (void)s; return 0; }

// ---- processes of a cgroup ----

#define BATCH 64
struct processes { int pids[BATCH], count, more; };

static int read_pids(int dir, struct processes *found) {
  char text[4096];
  found->count = found->more = 0;
  int fd = sys_openat2(dir, "cgroup.procs", O_RDONLY, 0, BENEATH);
  if (fd < 0) return fd;
  long n, pid = 0;
  while ((n = sys_read(fd, text, sizeof text)) > 0)
    for (long i = 0; i < n; i++) {
      if (text[i] >= '0' && text[i] <= '9') { pid = pid * 10 + text[i] - '0'; continue; }
      if (pid > 0 && found->count == BATCH) found->more = 1;
      else if (pid > 0) found->pids[found->count++] = (int)pid;
      pid = 0;
    }
  sys_close(fd);
  return n < 0 ? (int)n : 0;
}

static int still_there(const struct processes *now, int pid) {
  for (int i = 0; i < now->count; i++) if (now->pids[i] == pid) return 1;
  return 0;
}

// Signals every process directly in `dir`, each held by a pidfd and found in the cgroup again before it is signalled.
// Returns how many were; with `wait` their end is waited for.
static int signal_processes(int dir, int signal, int wait) {
  struct processes found, now;
  int pidfds[BATCH], sent = 0;
  if (read_pids(dir, &found) < 0) return 0;
  for (int i = 0; i < found.count; i++) pidfds[i] = sys_pidfd_open(found.pids[i]);
  if (read_pids(dir, &now) < 0) now.count = 0;
  for (int i = 0; i < found.count; i++) {
    int ours = pidfds[i] >= 0 && (now.more || still_there(&now, found.pids[i]));
    if (ours && sys_pidfd_signal(pidfds[i], signal) == 0) sent++;
    if (ours && wait) sys_poll(pidfds[i], POLLIN, 2000);
    sys_close(pidfds[i]);
  }
  return sent;
}

// Levels below are not gone through: there are none but where a container has made them, and removal finds them.
#define DEPTH 128
struct signalling { int signal, wait, sent, depth; };

static int signal_tree(int dir, struct signalling *how);

static int signal_child(int parent, const char *name, unsigned char type, void *how) {
  if (type != DT_DIR) return 0;
  int dir = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, 0, BENEATH);
  if (dir < 0) return 0;
  signal_tree(dir, how);
  sys_close(dir);
  return 0;
}

static int signal_tree(int dir, struct signalling *how) {
  how->sent += signal_processes(dir, how->signal, how->wait);
  if (++how->depth < DEPTH) list_directory(dir, signal_child, how);
  how->depth--;
  return 0;
}

int do_signal_cgroup(struct run *r, const struct step_signal_cgroup *s) {
  if (!effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0)) return 0;
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir == -ENOENT) return 0;
  if (dir < 0) return failing(r, "open", dir);
  // All at once, and whoever is being made just now too; then what is left is their end.
  if (r->signal == 9) write_control(dir, "cgroup.kill", "1");
  struct signalling how = {.signal = r->signal};
  // Frozen, they do not end before they are thawed.
  do { how.sent = 0; signal_tree(dir, &how); how.wait = 1; } while (r->signal == 9 && how.sent && !r->frozen);
  sys_close(dir);
  return 0;
}

// ---- removal ----

// rmdir of a cgroup whose last process has just gone may say EBUSY for a while, and the kernel tells nobody when it ends.
static int remove_directory(int parent, const char *name) {
  struct timespec pause = {0, 100000};
  int error = sys_unlink(parent, name, AT_REMOVEDIR);
  for (int tries = 0; error == -EBUSY && tries < 1000; tries++) {
    sys2(SYS_nanosleep, &pause, 0);
    if (pause.tv_nsec < 10000000) pause.tv_nsec *= 2;
    error = sys_unlink(parent, name, AT_REMOVEDIR);
  }
  return error == -ENOENT ? 0 : error;
}

static int remove_at(const char *path) {
  int dir = beneath_top(&path);
  return remove_directory(dir, path);
}

static int note_child(int parent, const char *name, unsigned char type, void *noted) {
  (void)parent;
  if (type != DT_DIR || strlen(name) >= NAME_SIZE) return 0;
  strcpy(noted, name);
  return 1;
}

// Removes the cgroups below `dir`, killing what is in them. A container that may make cgroups can nest them deeper than
// any stack: so one directory at a time, and up again by its `..`, which on a cgroup file system nobody can move.
static int remove_below(int dir) {
  char name[NAME_SIZE], below[NAME_SIZE];
  int at = sys_openat2(dir, ".", O_RDONLY | O_DIRECTORY, 0, BENEATH), depth = 0, error = 0;
  while (at >= 0 && !error) {
    int found = list_directory(at, note_child, name), next;
    if (found < 0 || (!found && !depth)) { error = found; break; }
    if (!found) {
      next = sys_open(at, "..", O_RDONLY | O_DIRECTORY, 0);
      depth--;
    } else {
      int child = sys_openat2(at, name, O_RDONLY | O_DIRECTORY, 0, BENEATH);
      if (child == -ENOENT) continue;
      if (child >= 0 && list_directory(child, note_child, below) != 1) {
        for (int rounds = 0; rounds < 100 && signal_processes(child, 9, 1); rounds++);
        sys_close(child);
        error = remove_directory(at, name);
        continue;
      }
      next = child;
      depth++;
    }
    sys_close(at);
    at = next;
  }
  sys_close(at);
  return at < 0 ? at : error;
}

int remove_left(const char *hierarchy, const char *path, int dir) {
  BUFFER(full, 4096);
  struct stat ours, present;
  char events[256] = "";
  int error = put_cgroup(&full, hierarchy, path, "");
  if (error || sys_fstat(dir, &ours) || stat_at(full.data, &present) || ours.st_ino != present.st_ino)
    return error;
  if (read_file(dir, "cgroup.events", events, sizeof events) <= 0 || strstr(events, "populated 1")) return 0;
  error = remove_below(dir);
  return error ? error : remove_at(full.data);
}

// The parents that this container, or another, made; one that others use stays, and those above it. `path` is cut shorter and
// shorter. The last in one that we made takes it away: a create that was killed may not have come to mark it.
static void remove_parents(struct run *r, const char *hierarchy, char *path) {
  char *beneath = path + strlen(hierarchy);
  int stays = 0;
  for (char *slash; (slash = strrchr(beneath, '/')) && slash != beneath; ) {
    *slash = 0;
    struct effect *effect = effect_of(r->container->journal, effect_key(hierarchy, beneath), 0);
    int mine = effect && (effect->state == EFFECT_MINE || effect->state == EFFECT_INTENDED);
    if (!stays && (mine || is_marked(path))) {
      int error = rmdir_at(path);
      if (error == 0 && effect) effect->state = EFFECT_UNDONE;
      if (!error || error == -ENOENT) continue;
    }
    stays = 1;
    if (mine) mark(path);
  }
}

// Kills what is in the cgroup, removes those below it, and it itself unless it was there before.
static int remove_in_use(const char *path, int keep) {
  int dir = open_at(path, O_RDONLY | O_DIRECTORY);
  if (dir < 0) return dir == -ENOENT ? 0 : dir;
  struct signalling how = {.signal = 9, .wait = 1};
  write_control(dir, "cgroup.kill", "1");
  for (int rounds = 0; rounds < 100; rounds++) {
    how.sent = 0;
    signal_tree(dir, &how);
    if (!how.sent) break;
  }
  int error = remove_below(dir);
  sys_close(dir);
  if (error || keep) return error == -ENOENT && keep ? 0 : error;  // systemd removes a scope's as soon as its last process has gone
  return remove_at(path);
}

int do_remove_cgroup(struct run *r, const struct step_remove_cgroup *s) {
  BUFFER(path, 4096);
  int error = put_cgroup(&path, TEXT(hierarchy), TEXT(path), "");
  if (error) return 0;  // no cgroup has such a path, so none was made
  struct effect *effect = effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0);
  if (effect && effect->state && effect->state != EFFECT_UNDONE) {
    int keep = effect->state == EFFECT_USED;
    // Most often it is empty: whoever made it knows by its rmdir, and no look into it is needed.
    error = keep ? -EBUSY : rmdir_at(path.data);
    if (error && error != -ENOENT) error = remove_in_use(path.data, keep);
    if (error && error != -ENOENT) return failing(r, "rmdir", error);
    effect->state = EFFECT_UNDONE;
  }
  remove_parents(r, TEXT(hierarchy), path.data);
  return 0;
}
