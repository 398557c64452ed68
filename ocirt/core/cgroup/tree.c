// A cgroup and those below it: looked through, thawed, signalled, emptied, removed.
#include "cgroup/tree.h"

#include <dirent.h>
#include <poll.h>
#include <string.h>

#include "base/cgroupfs.h"
#include "base/files.h"
#include "base/processes.h"
#include "base/wait.h"
#include "cgroup/hierarchy.h"

#define DEPTH 128 // levels that a walk goes down; removal goes down any number of them

#define BATCH 64 // processes whose end is waited for at the same time

#define ROUND 100 // milliseconds until those that are left are thawed and signalled again

#define SHOWN 8 // processes that an error names

// A walk calls `each` for a cgroup and all below it, until that returns something else than 0. Child cgroups that were
// there before the container are others': create journals each as used, and with `own` a walk passes them over.
struct walk {
  int (*each)(struct walk *walk, int dir);
  struct run *r;
  const char *hierarchy, *path;
  int own, depth, too_deep;
};

static struct effect *child_effect(const struct walk *w, const char *name, int make) {
  BUFFER(path, 4096 + NAME_SIZE);
  put_cgroup(&path, "", w->path, name);
  return effect_of(w->r->container->journal, effect_key(w->hierarchy, path.data), make);
}

static int walk(struct walk *w, int dir);

static int walk_child(int parent, const char *name, unsigned char type, void *data) {
  struct walk *w = data;
  if (type != DT_DIR || (w->own && w->depth == 1 && child_effect(w, name, 0))) return 0;
  if (w->depth > DEPTH) {
    w->too_deep = 1;
    return 0;
  }
  CLOSING int dir = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, 0, BENEATH);
  return dir < 0 ? dir == -ENOENT ? 0 : dir : walk(w, dir);
}

static int walk(struct walk *w, int dir) {
  int found = w->each(w, dir);
  if (found) return found;
  w->depth++;
  found = list_directory(dir, walk_child, w);
  w->depth--;
  return found == -ENOENT ? 0 : found; // removed meanwhile
}

// ---- what was there before ----

static int has_process(struct walk *w, int dir) {
  char text[32];
  (void)w;
  return read_file(dir, "cgroup.procs", text, sizeof text) > 0;
}

int is_populated(int dir) {
  char events[256];
  if (read_file(dir, "cgroup.events", events, sizeof events) > 0) return strstr(events, "populated 1") != 0;
  struct walk w = {.each = has_process};
  return walk(&w, dir) != 0;
}

static int note_child(int parent, const char *name, unsigned char type, void *data) {
  struct walk *w = data;
  (void)parent;
  if (type != DT_DIR) return 0;
  struct effect *effect = child_effect(w, name, 1);
  if (!effect) return -E2BIG;
  effect->state = EFFECT_USED;
  w->depth++;
  return 0;
}

int use_cgroup(struct run *r, const char *hierarchy, const char *path, int dir) {
  struct walk w = {.r = r, .hierarchy = hierarchy, .path = path};
  struct effect *effect = effect_of(r->container->journal, cgroup_key(hierarchy, path), 1);
  int error = !effect ? -E2BIG : dir < 0 ? dir : list_directory(dir, note_child, &w);
  if (error == -E2BIG)
    format(&r->detail,
        "the journal has room for %d cgroups, and more than that are in this one: use one without child cgroups",
        JOURNAL_EFFECTS);
  if (error) return failing(r, "journal", error);
  effect->number = (uint32_t)w.depth;
  effect->state = EFFECT_USED;
  return 0;
}

// How many child cgroups of the container's, which was there before, are others'.
static int others(struct run *r, const char *hierarchy, const char *path) {
  struct effect *effect = effect_of(r->container->journal, cgroup_key(hierarchy, path), 0);
  return effect && effect->state == EFFECT_USED ? (int)effect->number : 0;
}

static int refuse_stranger(int parent, const char *name, unsigned char type, void *data) {
  struct walk *w = data;
  if (type != DT_DIR || !child_effect(w, name, 0)) return 0;
  CLOSING int dir = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, 0, BENEATH);
  if (dir < 0 || !is_populated(dir)) return 0;
  format(&w->r->detail,
      "processes that are not the container's would be frozen, too: they are in its child cgroup %s, which was there "
      "before",
      name);
  return -EBUSY;
}

int assert_no_strangers(struct run *r, const char *hierarchy, const char *path, int dir) {
  struct walk w = {.r = r, .hierarchy = hierarchy, .path = path};
  int error = others(r, hierarchy, path) ? list_directory(dir, refuse_stranger, &w) : 0;
  return error ? failing(r, "check", error) : 0;
}

int do_assert_empty_cgroup(struct run *r, const struct step_assert_empty_cgroup *s) {
  CLOSING int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir == -ENOENT) return 0;
  if (dir >= 0 && !is_populated(dir)) return 0;
  if (dir >= 0) put(&r->detail, "it was there before, and has processes in it, or in a cgroup below it");
  return failing(r, dir < 0 ? "open" : "check", dir < 0 ? dir : -EBUSY);
}

// ---- signals ----

// The pids in a file like cgroup.procs. 0 stands there for a process of another pid namespace.
struct pids {
  int fd;
  long size, at;
  char text[1024];
};

// The next one; 0: there are no more.
static int next_pid(struct pids *p) {
  for (int pid = 0;; p->at++) {
    if (p->at == p->size) {
      p->at = 0;
      p->size = sys_read(p->fd, p->text, sizeof p->text);
      if (p->size <= 0) return p->size = 0;
    }
    char digit = p->text[p->at];
    if (digit >= '0' && digit <= '9')
      pid = pid * 10 + digit - '0';
    else if (pid)
      return pid;
  }
}

// Signals on their way. Of those that SIGKILL was sent to, and that live, as many are held as there is room for.
struct signalling {
  struct walk walk;
  int signal, sent, refused, held, pids[BATCH];
  struct pollfd pidfds[BATCH];
};

// Each process is held by a pidfd, and found in the cgroup again before it is signalled.
static void signal_batch(struct signalling *how, int dir, const int *pids, int count) {
  int pidfds[BATCH];
  uint64_t there = 0;
  for (int i = 0; i < count; i++)
    pidfds[i] = sys_pidfd_open(pids[i]);
  CLOSING int fd = sys_openat2(dir, "cgroup.procs", O_RDONLY, 0, BENEATH);
  struct pids now = {.fd = fd};
  for (int pid; (pid = next_pid(&now));)
    for (int i = 0; i < count; i++)
      if (pids[i] == pid) there |= 1ull << i;
  for (int i = 0; i < count; i++) {
    CLOSING int pidfd = pidfds[i];
    if (pidfd < 0 || !(there >> i & 1)) continue;
    if (how->signal == SIGKILL && sys_poll(pidfd, POLLIN, 0) == 1) continue; // it has ended
    int error = sys_pidfd_signal(pidfd, how->signal);
    if (error && error != -ESRCH) how->refused = error;
    if (error) continue;
    how->sent++;
    how->walk.r->signalled++;
    if (how->signal != SIGKILL || how->held == BATCH) continue;
    how->pids[how->held] = pids[i];
    how->pidfds[how->held++] = (struct pollfd){.fd = release(&pidfd), .events = POLLIN};
  }
}

// What is frozen does not end before it is thawed: on cgroup v1 each cgroup by itself.
static int thaw(struct walk *w, int dir) {
  (void)w;
  write_control(dir, "freezer.state", "THAWED");
  write_control(dir, "cgroup.freeze", "0");
  return 0;
}

static int signal_directory(struct walk *w, int dir) {
  struct signalling *how = (struct signalling *)w;
  int batch[BATCH], count;
  if (how->signal == SIGKILL) thaw(w, dir);
  CLOSING int fd = sys_openat2(dir, "cgroup.procs", O_RDONLY, 0, BENEATH);
  struct pids found = {.fd = fd};
  do {
    for (count = 0; count < BATCH && (batch[count] = next_pid(&found)); count++)
      ;
    if (count) signal_batch(how, dir, batch, count);
  } while (count == BATCH);
  return 0;
}

static void let_go(struct signalling *how) {
  while (how->held)
    sys_close(how->pidfds[--how->held].fd);
}

// Waits until all that are held have ended, or a round is over, and lets go of them.
static void await_end(struct signalling *how) {
  int64_t deadline = milliseconds() + ROUND, left = ROUND;
  for (int living = how->held; living && left > 0; left = deadline - milliseconds()) {
    if (sys_ppoll(how->pidfds, (unsigned)how->held, left) <= 0) continue;
    for (int i = 0; i < how->held; i++) {
      if (!how->pidfds[i].revents) continue;
      sys_close(how->pidfds[i].fd);
      how->pidfds[i] = (struct pollfd){.fd = -1}; // ppoll(2) passes it over
      living--;
    }
  }
  let_go(how);
}

static int tell_left(struct run *r, struct signalling *how) {
  format(&r->detail, "not all processes of the cgroup %s%s have ended for %d s since SIGKILL:", how->walk.hierarchy,
      how->walk.path, END_SECONDS);
  for (int i = 0; i < how->held && i < SHOWN; i++)
    put_process(&r->detail, how->pids[i], i ? ", " : " ");
  if (how->sent > SHOWN) format(&r->detail, " and %d more", how->sent - SHOWN);
  let_go(how);
  return failing(r, "", -ETIMEDOUT);
}

// Kills all processes in the cgroup that is open as `dir` and below it, and waits for their end, but not with the state
// locked.
static int end_processes(struct run *r, const char *hierarchy, const char *path, int dir, int own) {
  struct signalling how = {
      .walk = {.each = signal_directory, .r = r, .hierarchy = hierarchy, .path = path, .own = own}, .signal = SIGKILL};
  int64_t deadline = milliseconds() + END_SECONDS * 1000L;
  int error, unlocked = 0;
  // All of them, and whoever is being made just now: but strangers are not to be among them.
  int by_kernel = !own && write_control(dir, "cgroup.kill", "1") == 0;
  while (!(error = walk(&how.walk, dir)) && how.sent) {
    if (milliseconds() >= deadline) {
      error = tell_left(r, &how);
      break;
    }
    await_end(&how);
    if (!unlocked && r->section == SECTION_DELETE) container_unlock(r->container);
    unlocked = r->section == SECTION_DELETE;
    how.sent = 0;
  }
  int locked = unlocked ? container_relock(r->container) : 0;
  if (locked) return failing(r, "lock", locked);
  if (!error && how.refused && !by_kernel) return failing(r, "pidfd_send_signal", how.refused);
  if (!error && how.walk.too_deep && !by_kernel && r->section != SECTION_DELETE) {
    format(&r->detail, "cgroups are nested more than %d deep in it: processes there are not reached", DEPTH);
    error = -E2BIG;
  }
  return error && error != -ETIMEDOUT ? failing(r, "kill", error) : error;
}

int do_signal_cgroup(struct run *r, const struct step_signal_cgroup *s) {
  if (!effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0)) return 0;
  CLOSING int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir < 0) return dir == -ENOENT ? 0 : failing(r, "open", dir);
  int own = others(r, TEXT(hierarchy), TEXT(path));
  struct signalling how = {
      .walk = {.each = signal_directory, .r = r, .hierarchy = TEXT(hierarchy), .path = TEXT(path), .own = own},
      .signal = r->signal};
  if (r->signal == SIGKILL) return end_processes(r, TEXT(hierarchy), TEXT(path), dir, own);
  int error = walk(&how.walk, dir);
  if (!error && how.refused) return failing(r, "pidfd_send_signal", how.refused);
  return error ? failing(r, "signal", error) : 0;
}

// So that init, which is killed next, can end. One that has ended needs nothing.
int do_thaw_cgroup(struct run *r, const struct step_thaw_cgroup *s) {
  if (!container_hold(r->container) || !effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0))
    return 0;
  struct walk w = {.each = thaw,
      .r = r,
      .hierarchy = TEXT(hierarchy),
      .path = TEXT(path),
      .own = others(r, TEXT(hierarchy), TEXT(path))};
  CLOSING int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir >= 0) walk(&w, dir);
  return 0;
}

// ---- removal ----

// rmdir of a cgroup whose last process has just gone may say EBUSY for a while, and the kernel tells nobody when it
// ends.
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

// Looks for a child cgroup that is to be removed.
struct search {
  struct walk walk;
  char name[NAME_SIZE];
};

static int find_child(int parent, const char *name, unsigned char type, void *data) {
  struct search *search = data;
  (void)parent;
  if (type != DT_DIR || strlen(name) >= NAME_SIZE) return 0;
  if (search->walk.own && !search->walk.depth && child_effect(&search->walk, name, 0)) return 0;
  strcpy(search->name, name);
  return 1;
}

// Removes the cgroups below `dir`, killing what is in them. A container that may make cgroups can nest them deeper than
// any stack: so one directory at a time, and up again by its `..`, which on a cgroup file system nobody can move.
static int remove_below(struct run *r, const char *hierarchy, const char *path, int dir, int own) {
  struct search here = {.walk = {.r = r, .hierarchy = hierarchy, .path = path, .own = own}}, below = {0};
  int at = sys_openat2(dir, ".", O_RDONLY | O_DIRECTORY, 0, BENEATH), error = 0;
  while (at >= 0 && !error) {
    int found = list_directory(at, find_child, &here), next;
    if (found < 0 || (!found && !here.walk.depth)) {
      error = found;
      break;
    }
    if (!found) {
      next = sys_open(at, "..", O_RDONLY | O_DIRECTORY, 0);
      here.walk.depth--;
    } else {
      CLOSING int child = sys_openat2(at, here.name, O_RDONLY | O_DIRECTORY, 0, BENEATH);
      if (child == -ENOENT) continue;
      if (child >= 0 && list_directory(child, find_child, &below) != 1) {
        error = end_processes(r, hierarchy, path, child, 0);
        if (!error) error = remove_directory(at, here.name);
        continue;
      }
      next = release(&child);
      here.walk.depth++;
    }
    sys_close(at);
    at = next;
  }
  sys_close(at);
  return at < 0 ? at : error;
}

int remove_left(struct run *r, const char *hierarchy, const char *path, int dir) {
  BUFFER(full, 4096);
  struct stat ours, present;
  int error = put_cgroup(&full, hierarchy, path, "");
  if (error || sys_fstat(dir, &ours) || stat_at(full.data, &present) || ours.st_ino != present.st_ino ||
      is_populated(dir))
    return error;
  error = remove_below(r, hierarchy, path, dir, others(r, hierarchy, path));
  return error ? error : remove_at(full.data);
}

// The parents that this container, or another, made; one that others use stays, and those above it. `path` is cut
// shorter and shorter. The last in one that we made takes it away: a create that was killed may not have come to mark
// it. `own` is the effect of the cgroup below all of them.
static void remove_parents(struct run *r, const char *hierarchy, char *path, struct effect *own) {
  char *beneath = path + strlen(hierarchy);
  uint32_t from = own && own->state != EFFECT_USED ? own->number : 0, level = 0;
  int stays = 0;
  for (const char *at = beneath; *at; at++)
    level += *at == '/';
  for (char *slash; (slash = strrchr(beneath, '/')) && slash != beneath;) {
    *slash = 0;
    level--;
    // Builds before have an effect for each level.
    struct effect *effect = effect_of(r->container->journal, effect_key(hierarchy, beneath), 0);
    int mine =
        (from && level >= from) || (effect && (effect->state == EFFECT_MINE || effect->state == EFFECT_INTENDED));
    if (!stays && (mine || is_marked(path))) {
      int error = rmdir_at(path);
      if (error == 0 && effect) effect->state = EFFECT_UNDONE;
      if (!error || error == -ENOENT) continue;
    }
    stays = 1;
    if (mine) mark(path);
  }
  if (from) own->number = 0;
}

// Kills what is in the cgroup, removes those below it, and it itself unless it was there before.
static int remove_in_use(struct run *r, const char *hierarchy, const char *path, const char *full, int keep) {
  CLOSING int dir = open_at(full, O_RDONLY | O_DIRECTORY);
  if (dir < 0) return dir == -ENOENT ? 0 : dir;
  int own = others(r, hierarchy, path), error = end_processes(r, hierarchy, path, dir, own);
  if (!error) error = remove_below(r, hierarchy, path, dir, own);
  if (error || keep)
    return error == -ENOENT && keep ? 0 : error; // systemd removes a scope's as soon as its last process has gone
  return remove_at(full);
}

int do_remove_cgroup(struct run *r, const struct step_remove_cgroup *s) {
  BUFFER(path, 4096);
  int error = put_cgroup(&path, TEXT(hierarchy), TEXT(path), "");
  if (error) return 0; // no cgroup has such a path, so none was made
  struct effect *effect = effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0);
  if (effect && effect->state && effect->state != EFFECT_UNDONE) {
    int keep = effect->state == EFFECT_USED;
    // Most often it is empty: whoever made it knows by its rmdir, and no look into it is needed.
    error = keep ? -EBUSY : rmdir_at(path.data);
    if (error && error != -ENOENT) error = remove_in_use(r, TEXT(hierarchy), TEXT(path), path.data, keep);
    if (error && error != -ENOENT) return r->call ? error : failing(r, "rmdir", error);
    effect->state = EFFECT_UNDONE;
  }
  remove_parents(r, TEXT(hierarchy), path.data, effect);
  return 0;
}
