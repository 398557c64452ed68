#include "cgroup/kill.h"

#include <poll.h>
#include <signal.h>

#include "base/processes.h"
#include "base/wait.h"
#include "cgroup/hierarchy.h"

#define BATCH 64 // processes that the runtime waits for at the same time
#define ROUND 100 // milliseconds until the runtime thaws and signals the rest again
#define SHOWN 8 // processes that an error names

// The pids in a file like cgroup.procs, where 0 means a process of another pid namespace.
struct pids {
  int fd;
  long size, at;
  char text[1024];
};

// The next pid, or 0 at the end.
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

// One round of signals. Holds pidfds of living processes that got SIGKILL, as many as there is room for.
struct signalling {
  struct walk walk;
  int signal, sent, refused, held, pids[BATCH];
  struct pollfd pidfds[BATCH];
};

static void signal_process(struct signalling *how, int pid, int *pidfd) {
  if (how->signal == SIGKILL && sys_poll(*pidfd, POLLIN, 0) == 1) return; // it has ended
  int error = sys_pidfd_signal(*pidfd, how->signal);
  if (error && error != -ESRCH) how->refused = error;
  if (error) return;
  how->sent++;
  how->walk.r->signalled++;
  if (how->signal != SIGKILL || how->held == BATCH) return;
  how->pids[how->held] = pid;
  how->pidfds[how->held++] = (struct pollfd){.fd = release(pidfd), .events = POLLIN};
}

// Opens a pidfd of each process, and checks that the process is still in the cgroup before it signals it.
static void signal_batch(struct signalling *how, int dir, const int *pids, int count) {
  int pidfds[BATCH];
  uint64_t there = 0;
  for (int i = 0; i < count; i++)
    pidfds[i] = sys_pidfd_open(pids[i]);
  CLOSING int fd = sys_openat2(dir, "cgroup.procs", O_RDONLY, BENEATH);
  struct pids now = {.fd = fd};
  for (int pid; (pid = next_pid(&now));)
    for (int i = 0; i < count; i++)
      if (pids[i] == pid) there |= 1ull << i;
  for (int i = 0; i < count; i++) {
    CLOSING int pidfd = pidfds[i];
    if (pidfd >= 0 && there >> i & 1) signal_process(how, pids[i], &pidfd);
  }
}

// A frozen process ends only after a thaw, which on cgroup v1 each cgroup needs for itself.
static int thaw(struct walk *w, int dir) {
  write_control(dir, "freezer.state", "THAWED");
  write_control(dir, "cgroup.freeze", "0");
  return 0;
}

static int signal_directory(struct walk *w, int dir) {
  struct signalling *how = (struct signalling *)w;
  int batch[BATCH], count;
  if (how->signal == SIGKILL) thaw(w, dir);
  CLOSING int fd = sys_openat2(dir, "cgroup.procs", O_RDONLY, BENEATH);
  struct pids found = {.fd = fd};
  do {
    for (count = 0; count < BATCH && (batch[count] = next_pid(&found)); count++)
      ;
    if (count) signal_batch(how, dir, batch, count);
  } while (count == BATCH);
  return 0;
}

static struct signalling signalling(const struct walk *cgroup, int signal) {
  struct signalling how = {.walk = *cgroup, .signal = signal};
  how.walk.each = signal_directory;
  return how;
}

static void let_go(struct signalling *how) {
  while (how->held)
    sys_close(how->pidfds[--how->held].fd);
}

// Waits until all held processes have ended or the round is over, and closes their pidfds.
static void await_end(struct signalling *how) {
  int64_t deadline = milliseconds() + ROUND, left = ROUND;
  for (int living = how->held; living && left > 0; left = deadline - milliseconds()) {
    if (sys_ppoll(how->pidfds, (unsigned)how->held, left) <= 0) continue;
    for (int i = 0; i < how->held; i++) {
      if (!how->pidfds[i].revents) continue;
      sys_close(how->pidfds[i].fd);
      how->pidfds[i] = (struct pollfd){.fd = -1}; // which ppoll(2) skips
      living--;
    }
  }
  let_go(how);
}

static int tell_left(struct signalling *how) {
  struct run *r = how->walk.r;
  format(&r->detail, "not all processes of the cgroup %s%s have ended for %d s since SIGKILL:", how->walk.hierarchy,
      how->walk.path, END_SECONDS);
  for (int i = 0; i < how->held && i < SHOWN; i++)
    put_process(&r->detail, how->pids[i], i ? ", " : " ");
  if (how->sent > SHOWN) format(&r->detail, " and %d more", how->sent - SHOWN);
  let_go(how);
  return failing(r, "", -ETIMEDOUT);
}

// Signals in rounds until no process is left. A delete unlocks the state before it waits.
static int kill_rounds(struct signalling *how, int dir, int *unlocked) {
  struct run *r = how->walk.r;
  int64_t deadline = milliseconds() + END_SECONDS * 1000L;
  int error;
  while (!(error = walk(&how->walk, dir)) && how->sent) {
    if (milliseconds() >= deadline) return tell_left(how);
    await_end(how);
    if (!*unlocked && r->section == SECTION_DELETE) {
      container_unlock(r->container);
      *unlocked = 1;
    }
    how->sent = 0;
  }
  return error ? failing(r, "kill", error) : 0;
}

int end_processes(const struct walk *cgroup, int dir) {
  struct run *r = cgroup->r;
  struct signalling how = signalling(cgroup, SIGKILL);
  int unlocked = 0;
  // cgroup.kill also reaches processes that are just being forked, but it must not reach those of others.
  int by_kernel = !cgroup->others && write_control(dir, "cgroup.kill", "1") == 0;
  int error = kill_rounds(&how, dir, &unlocked);
  int locked = unlocked ? container_relock(r->container) : 0;
  if (locked) return failing(r, "lock", locked);
  if (error || by_kernel) return error;
  if (how.refused) return failing(r, "pidfd_send_signal", how.refused);
  if (!how.walk.too_deep || r->section == SECTION_DELETE) return 0;
  format(&r->detail, "cgroups are nested more than %d deep in it: processes there are not reached", DEPTH);
  return failing(r, "kill", -E2BIG);
}

// Has create begun to make or to use the cgroup?
static int is_journalled(struct run *r, const char *hierarchy, const char *path) {
  return effect_of(r->container->journal, cgroup_key(hierarchy, path), 0) != 0;
}

int do_signal_cgroup(struct run *r, const struct step_signal_cgroup *s) {
  if (!is_journalled(r, TEXT(hierarchy), TEXT(path))) return 0;
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir < 0) return dir == -ENOENT ? 0 : failing(r, "open", dir);
  struct walk cgroup = walk_of(r, TEXT(hierarchy), TEXT(path));
  if (r->signal == SIGKILL) return end_processes(&cgroup, dir);
  struct signalling how = signalling(&cgroup, r->signal);
  int error = walk(&how.walk, dir);
  if (error) return failing(r, "signal", error);
  return how.refused ? failing(r, "pidfd_send_signal", how.refused) : 0;
}

// Thaws init so that it can end when it is killed next. Does nothing if init has ended.
int do_thaw_cgroup(struct run *r, const struct step_thaw_cgroup *s) {
  if (!container_hold(r->container) || !is_journalled(r, TEXT(hierarchy), TEXT(path))) return 0;
  struct walk w = walk_of(r, TEXT(hierarchy), TEXT(path));
  w.each = thaw;
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir >= 0) walk(&w, dir);
  return 0;
}
