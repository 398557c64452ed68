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

static int open_hierarchy(const char *hierarchy) { return sys_open(AT_FDCWD, hierarchy, O_PATH | O_DIRECTORY, 0); }

static const char *relative(const char *path) {
  path += strspn(path, "/");
  return *path ? path : ".";
}

// A path as the journal has it: with single slashes, and none at the end.
static void put_plain(struct buffer *to, const char *path) {
  for (const char *name = path; *(name += strspn(name, "/")); name += strcspn(name, "/")) {
    put(to, "/");
    put_bytes(to, name, strcspn(name, "/"));
  }
}

uint64_t cgroup_key(const char *hierarchy, const char *path) {
  BUFFER(plain, 4096);
  put_plain(&plain, path);
  return effect_key(hierarchy, plain.data);
}

int open_cgroup(const char *hierarchy, const char *path, uint64_t flags) {
  int top = open_hierarchy(hierarchy);
  if (top < 0) return top;
  int fd = sys_openat2(top, relative(path), flags, 0, BENEATH);
  sys_close(top);
  return fd;
}

int write_control(int dir, const char *file, const char *text) {
  int fd = sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
  if (fd < 0) return fd;
  long n = sys_write(fd, text, strlen(text));
  sys_close(fd);
  return n < 0 ? (int)n : 0;
}

static int inherit_file(int parent, int child, const char *file) {
  char text[4096];
  long size = read_file(child, file, text, sizeof text);
  if (size < 0) return size == -ENOENT ? 0 : (int)size;
  if (size > 1) return 0;
  size = read_file(parent, file, text, sizeof text);
  if (size < 0) return (int)size;
  int fd = sys_open(child, file, O_WRONLY, 0);
  if (fd < 0) return fd;
  long n = sys_write(fd, text, (size_t)size);
  sys_close(fd);
  return n < 0 ? (int)n : 0;
}

// Whichever container leaves a shared parent last removes it, if one of us made it. Without privileges the mark is one
// that any owner of the directory can make.
static void mark(int dir) {
  if (sys5(SYS_fsetxattr, dir, MARK, "1", 1, 0) == -EPERM) sys5(SYS_fsetxattr, dir, MARK_OF_USER, "1", 1, 0);
}

static int has_mark(int dir) {
  char value[4];
  struct stat st;
  if (sys4(SYS_fgetxattr, dir, MARK, value, sizeof value) > 0) return 1;
  return sys4(SYS_fgetxattr, dir, MARK_OF_USER, value, sizeof value) > 0 && sys_fstat(dir, &st) == 0 &&
         st.st_uid == (uint32_t)sys0(SYS_geteuid);
}

// One level: made if it is not there, journalled, its files inherited. Returns its fd.
static int make_level(struct run *r, int parent, const char *name, const char *hierarchy, const char *so_far, int last,
                      const struct texts *inherit, int unified, int held) {
  struct stat st;
  struct effect *effect = 0;
  int present = sys_stat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!present) {
    if (!(effect = effect_of(r->container->journal, effect_key(hierarchy, so_far), 1))) return failing(r, "journal", -E2BIG);
    effect->state = EFFECT_INTENDED;
    int error = sys_mkdir(parent, name, 0755);
    if (error == 0) effect->state = EFFECT_MINE;
    else {
      effect->state = EFFECT_UNDONE;
      if (error != -EEXIST) return failing(r, "mkdir", error);
      present = 1;
    }
  }
  int fd = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, 0, BENEATH);
  if (fd < 0) return failing(r, "open", fd);
  if (!present && !last) mark(fd);
  for (uint32_t i = 0; i < inherit->count; i++) {
    int error = inherit_file(parent, fd, inherit->items[i]);
    if (error) { sys_close(fd); return failing(r, inherit->items[i], error); }
  }
  if (!last || (!present && !unified)) return fd;
  char text[64];
  const char *wrong = 0;
  if (unified) wrong = unfit(fd, present);
  else if (!held && read_file(fd, "cgroup.procs", text, sizeof text) > 0) wrong = "it has processes in it already";
  else if (read_file(fd, "freezer.state", text, sizeof text) > 0 && strncmp(text, "THAWED", 6)) wrong = "it is frozen";
  else if (read_file(fd, "cgroup.freeze", text, sizeof text) > 0 && *text == '1') wrong = "it is frozen";
  if (!wrong && !present) return fd;
  if (wrong) {
    put(&r->detail, wrong);
    sys_close(fd);
    return failing(r, "check", -EBUSY);
  }
  if (!effect && !(effect = effect_of(r->container->journal, effect_key(hierarchy, so_far), 1)))
    return failing(r, "journal", -E2BIG);
  effect->state = EFFECT_USED;
  return fd;
}

static int make_levels(struct run *r, const char *hierarchy, const char *path, const struct texts *inherit, int unified, int held) {
  int at = open_hierarchy(hierarchy);
  if (at < 0) return failing(r, "open", at);
  BUFFER(so_far, 4096);
  for (const char *name = relative(path); *name && at >= 0; ) {
    size_t length = strcspn(name, "/");
    const char *next = name + length + strspn(name + length, "/");
    char component[NAME_SIZE];
    if (length >= sizeof component) { sys_close(at); return failing(r, "mkdir", -ENAMETOOLONG); }
    memcpy(component, name, length);
    component[length] = 0;
    if (unified) enable_controllers(r, at, so_far.data);
    put(&so_far, "/"); put(&so_far, component);
    int fd = make_level(r, at, component, hierarchy, so_far.data, !*next, inherit, unified, held);
    sys_close(at);
    at = fd;
    name = next;
  }
  if (at < 0) return at;
  sys_close(at);
  return 0;
}

int do_make_cgroup(struct run *r, const struct step_make_cgroup *s) {
  int error = -ENOENT;
  // A parent may be removed by another container's delete between our look and our mkdir.
  for (int tries = 0; error == -ENOENT && tries < 16; tries++)
    error = make_levels(r, TEXT(hierarchy), TEXT(path), TEXTS(inherit), s->unified != 0, s->held != 0);
  return error ? tolerated(r, s->hierarchy, NUMBER(tolerate), r->call, error) : 0;
}

// Line by line: files like io.max take one at a time.
static int write_lines(int fd, const char *text) {
  do {
    size_t length = strcspn(text, "\n");
    long n = sys_write(fd, text, length);
    if (n < 0) return (int)n;
    text += length + (text[length] == '\n');
  } while (*text);
  return 0;
}

int do_write_cgroup(struct run *r, const struct step_write_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(tolerate));
  if (there <= 0) return there;
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_PATH | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  int fd = sys_openat2(dir, TEXT(file), O_WRONLY, 0, BENEATH);
  if (fd == -ENOENT) explain_missing(r, TEXT(hierarchy), dir, TEXT(file));
  int error = fd < 0 ? 0 : write_lines(fd, TEXT(value));
  char usage[64];
  long size = error && *TEXT(usage) ? read_file(dir, TEXT(usage), usage, sizeof usage) : 0;
  sys_close(fd > 0 ? fd : -1); sys_close(dir);
  if (fd < 0) return tolerated(r, s->hierarchy, NUMBER(tolerate), "open", fd);
  if (size > 0) {
    put(&r->detail, TEXT(usage)); put(&r->detail, " is "); put_bytes(&r->detail, usage, (size_t)size - (usage[size - 1] == '\n'));
  }
  return error ? failing(r, "write", error) : 0;
}

int do_open_cgroup(struct run *r, const struct step_open_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(tolerate));
  if (there <= 0) return there;
  const char *file = TEXT(file);
  int fd = open_cgroup(TEXT(hierarchy), TEXT(path), *file ? O_PATH | O_DIRECTORY : O_RDONLY | O_DIRECTORY);
  if (fd == -ENOENT && s->optional) return 0;
  if (fd < 0) return failing(r, "open", fd);
  if (*file) {
    int dir = fd;
    fd = sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
    sys_close(dir);
    if (fd < 0) return tolerated(r, s->hierarchy, NUMBER(tolerate), "open", fd);
  }
  r->fds[s->fd] = fd;
  return 0;
}

int do_join_cgroup(struct run *r, const struct step_join_cgroup *s) {
  int fd = r->fds[s->fd];
  if (fd < 0) return 0;
  // A single-threaded process that writes 0 to `tasks` moves itself without waiting for a grace period.
  long n = sys_write(fd, "0", 1);
  sys_close(fd);
  return n < 0 ? failing(r, "write", (int)n) : 0;
}

int do_assert_thawed(struct run *r, const struct step_assert_thawed *s) {
  char text[4096];
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_PATH | O_DIRECTORY);
  long size = dir < 0 ? dir : read_file(dir, TEXT(file), text, sizeof text);
  sys_close(dir);
  if (size == -ENOENT) return 0;
  if (size < 0) return failing(r, "read", (int)size);
  for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
    if (strcspn(line, "\n") == strlen(TEXT(thawed)) && !strncmp(line, TEXT(thawed), strlen(TEXT(thawed)))) return 0;
  put(&r->detail, "cannot exec in a paused container (use --ignore-paused to override)");
  return failing(r, "", -EBUSY);
}

int do_thaw_cgroup(struct run *r, const struct step_thaw_cgroup *s) {
  (void)r;
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_PATH | O_DIRECTORY);
  if (dir < 0 || !effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0)) { sys_close(dir); return 0; }
  int fd = sys_openat2(dir, TEXT(file), O_WRONLY, 0, BENEATH);
  if (fd >= 0) sys_write(fd, TEXT(value), strlen(TEXT(value)));
  sys_close(fd); sys_close(dir);
  return 0;
}

// ---- the freezer, and what state tells ----

#define FREEZE_TRIES 2000
#define FREEZE_SECONDS 10

static void pause_for(long microseconds) {
  struct timespec time = {0, microseconds * 1000};
  sys2(SYS_nanosleep, &time, 0);
}

// Waits until the file `name` of the v2 cgroup says that all in it are frozen.
static int wait_frozen(int dir, const char *name) {
  char text[256];
  int fd = sys_openat2(dir, name, O_RDONLY, 0, BENEATH), left = FREEZE_SECONDS * 10;
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
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_PATH | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  int fd = sys_openat2(dir, TEXT(file), O_RDWR, 0, BENEATH), frozen = 0, waited = 0;
  if (fd < 0) { sys_close(dir); return failing(r, "open", fd); }
  long n = 0;
  // The kernel freezes whom it finds, and nobody tells when it has found all: who was made meanwhile is found by writing
  // again, and where there are ever more of them a thaw now and then lets it begin anew.
  for (int tries = 1; !frozen && n >= 0 && tries <= FREEZE_TRIES; tries++) {
    if (tries % 100 == 0) { sys_write(fd, TEXT(undo), strlen(TEXT(undo))); pause_for(10000); }
    n = sys_write(fd, TEXT(value), strlen(TEXT(value)));
    if (tries % 20 == 0) pause_for(1000);
    if (n >= 0 && (frozen = says(fd, TEXT(value))) < 0) n = frozen;
  }
  if (frozen > 0 && *TEXT(events)) waited = wait_frozen(dir, TEXT(events));
  if (frozen <= 0 || waited) sys_write(fd, TEXT(undo), strlen(TEXT(undo)));
  sys_close(fd); sys_close(dir);
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

static long read_cgroup_file(const struct program *p, uint64_t hierarchy, uint64_t path, uint64_t file, char *text, size_t size) {
  int dir = open_cgroup(text_of(p, hierarchy), text_of(p, path), O_PATH | O_DIRECTORY);
  if (dir < 0) return dir;
  long n = read_file(dir, text_of(p, file), text, size);
  sys_close(dir);
  return n;
}

int is_paused(const struct program *p) {
  const struct step_tell_paused *s = (const void *)telling(p, STEP_TELL_PAUSED);
  char text[16];
  return s && read_cgroup_file(p, s->hierarchy, s->path, s->file, text, sizeof text) > 0 && *text == '1';
}

void put_paused_file(struct buffer *to, const struct program *p) {
  const struct step_tell_paused *s = (const void *)telling(p, STEP_TELL_PAUSED);
  if (!s) return;
  put(to, text_of(p, s->hierarchy)); put(to, text_of(p, s->path)); put(to, "/"); put(to, text_of(p, s->file));
}

int64_t oom_kills(const struct program *p) {
  const struct step_tell_oom_kills *s = (const void *)telling(p, STEP_TELL_OOM_KILLS);
  char text[1024];
  if (!s || read_cgroup_file(p, s->hierarchy, s->path, s->file, text, sizeof text) <= 0) return 0;
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

void put_oom(struct buffer *to, const struct program *p) {
  if (oom_kills(p)) put(to, " (out of memory: is linux.resources.memory.limit too small?)");
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
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY | O_DIRECTORY);
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
  struct stat ours, present;
  char events[256] = "";
  int top = open_hierarchy(hierarchy), error = 0;
  if (sys_fstat(dir, &ours) || sys_stat(top, relative(path), &present, AT_SYMLINK_NOFOLLOW) || ours.st_ino != present.st_ino) goto end;
  if (read_file(dir, "cgroup.events", events, sizeof events) <= 0 || strstr(events, "populated 1")) goto end;
  error = remove_below(dir);
  if (!error) error = remove_directory(top, relative(path));
end:
  sys_close(top);
  return error;
}

static int is_marked(const char *hierarchy, const char *path) {
  int fd = open_cgroup(hierarchy, path, O_RDONLY | O_DIRECTORY);
  int marked = fd >= 0 && has_mark(fd);
  sys_close(fd);
  return marked;
}

// The parents that this container, or another, made; one that others use stays.
static void remove_parents(struct run *r, const char *hierarchy, const char *path) {
  BUFFER(plain, 4096);
  char *above = plain.data;
  put_plain(&plain, path);
  for (char *slash; (slash = strrchr(above, '/')) && slash != above; ) {
    *slash = 0;
    struct effect *effect = effect_of(r->container->journal, cgroup_key(hierarchy, above), 0);
    int mine = effect && (effect->state == EFFECT_MINE || effect->state == EFFECT_INTENDED);
    if (!mine && !is_marked(hierarchy, above)) return;
    int top = open_hierarchy(hierarchy);
    int error = top < 0 ? top : sys_unlink(top, relative(above), AT_REMOVEDIR);
    sys_close(top);
    if (error == 0 && effect) effect->state = EFFECT_UNDONE;
    if (error < 0 && error != -ENOENT) return;
  }
}

int do_remove_cgroup(struct run *r, const struct step_remove_cgroup *s) {
  const char *hierarchy = TEXT(hierarchy), *path = TEXT(path);
  struct effect *effect = effect_of(r->container->journal, cgroup_key(hierarchy, path), 0);
  if (effect && effect->state && effect->state != EFFECT_UNDONE) {
    int dir = open_cgroup(hierarchy, path, O_RDONLY | O_DIRECTORY), error = 0;
    if (dir >= 0) {
      struct signalling how = {.signal = 9, .wait = 1};
      write_control(dir, "cgroup.kill", "1");
      for (int rounds = 0; rounds < 100; rounds++) {
        how.sent = 0;
        signal_tree(dir, &how);
        if (!how.sent) break;
      }
      error = remove_below(dir);
      sys_close(dir);
      // Systemd removes the cgroup of a scope as soon as its last process has gone.
      if (error == -ENOENT && effect->state == EFFECT_USED) error = 0;
      if (error) return failing(r, "rmdir", error);
      if (effect->state != EFFECT_USED) {
        int top = open_hierarchy(hierarchy);
        error = remove_directory(top, relative(path));
        sys_close(top);
        if (error) return failing(r, "rmdir", error);
      }
    } else if (dir != -ENOENT) return failing(r, "open", dir);
    effect->state = EFFECT_UNDONE;
  }
  remove_parents(r, hierarchy, path);
  return 0;
}
