// The state directory <root>/<id>: made, locked, read and removed. Files: config.json, state.json, journal, program,
// start.sock. See docs/architecture.md, "State directory".
#include "state/container.h"

#include <dirent.h>
#include <string.h>
#include <sys/file.h>

#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/processes.h"
#include "base/socket.h"
#include "base/trace.h"
#include "base/wait.h"
#include "state/facts.h"
#include "state/state_json.h"

int root_directory(const char *root, int make) {
  int fd = sys_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
  if (fd != -ENOENT || !make) return fd;
  BUFFER(path, PATH_SIZE);
  // Missing parents are created 0755, the root directory itself 0700.
  for (const char *at = root; *at; at++) {
    if (*at == '/' && path.used && at[1]) sys_mkdir(AT_FDCWD, path.data, 0755);
    put_bytes(&path, at, 1);
  }
  int error = sys_mkdir(AT_FDCWD, path.data, 0700);
  if (error < 0 && error != -EEXIST) return error;
  return sys_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
}

// Writes the holder of the lock into the journal: `delete --force` ends a process that holds the lock for too long.
static void tell_holder(struct container *c, int lock) {
  if (lock != LOCK_EX || !c->journal) return;
  c->journal->holder = 0;
  int pid = (int)sys0(SYS_getpid);
  if (!read_start_time(pid, &c->journal->holder_start_time, 0))
    __atomic_store_n(&c->journal->holder, pid, __ATOMIC_SEQ_CST);
}

// flock(2) knows no time limit, so it is asked again and again: -ETIMEDOUT after LOCK_SECONDS.
static int lock_in(int root, struct container *c, int lock) {
  struct stat ours, present;
  int error;
  TRACED("wait", "lock", "");
  for (int64_t end = 0; (error = sys_flock(c->dir, lock | LOCK_NB)) == -EWOULDBLOCK; pause_for(5000)) {
    if (!end)
      end = milliseconds() + LOCK_SECONDS * 1000L;
    else if (milliseconds() >= end)
      return -ETIMEDOUT;
  }
  if (error < 0) return error;
  // During the wait another verb may have deleted the container, and made another one with the same id.
  return sys_fstat(c->dir, &ours) < 0 || sys_stat(root, c->id, &present, AT_SYMLINK_NOFOLLOW) < 0 ||
                 ours.st_ino != present.st_ino || ours.st_dev != present.st_dev
             ? -ENOENT
             : 0;
}

static void make_directory(int root, struct container *c) {
  int error = sys_mkdir(root, c->id, 0700);
  if (error == -EEXIST) fail("container already exists: %s", c->id);
  if (error < 0) fail("--root %s: make the state directory of %s: %e", c->root, c->id, error);
  c->dir = sys_open(root, c->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (c->dir < 0) {
    sys_unlink(root, c->id, AT_REMOVEDIR);
    fail("--root %s: open the state directory of %s: %e", c->root, c->id, c->dir);
  }
  error = lock_in(root, c, LOCK_EX);
  if (!error) return;
  // A delete may have taken the lock in between; it removes a directory without a journal.
  container_remove(c);
  fail("--root %s: lock the state directory of %s: flock: %e", c->root, c->id, error);
}

void container_make(struct container *c) {
  CLOSING int root = root_directory(c->root, 1);
  if (root < 0)
    fail("--root %s: %e%s", c->root, root,
        sys0(SYS_geteuid) ? "; set XDG_RUNTIME_DIR to a directory of this user, or give --root another one" : "");
  c->dir = c->pidfd = c->notify = c->ends = -1;
  int creator = (int)sys0(SYS_getpid);
  uint64_t start_time = start_time_of(creator); // before anything is there that a failure would leave
  make_directory(root, c);
  int error = journal_make(c->dir, &c->journal);
  if (error) {
    // Nothing else is in the directory. container_remove would open it, and perhaps no descriptor is left.
    sys_unlink(c->dir, "journal", 0);
    sys_unlink(root, c->id, AT_REMOVEDIR);
    fail("--root %s: write the journal of %s: %e", c->root, c->id, error);
  }
  *c->journal = (struct journal){.version = JOURNAL_VERSION,
      .creator = creator,
      .creator_start_time = start_time,
      .holder = creator,
      .holder_start_time = start_time};
  journal_begin(c->journal);
  memcpy(c->journal->magic, JOURNAL_MAGIC, sizeof c->journal->magic);
}

int container_lock(struct container *c) {
  CLOSING int root = root_directory(c->root, 0);
  int error = root < 0 ? -ENOENT : lock_in(root, c, LOCK_EX);
  if (!error) tell_holder(c, LOCK_EX);
  return error;
}

void container_unlock(struct container *c) {
  c->journal->holder = 0;
  sys_flock(c->dir, LOCK_UN);
}

int container_relock(struct container *c) {
  int error = container_lock(c);
  return error == -ENOENT ? DELETED_MEANWHILE : error == -ETIMEDOUT ? -EBUSY : error;
}

int container_claim_start(struct container *c) {
  CLOSING int fd = sys_open(c->dir, "journal", O_RDONLY | O_NOFOLLOW, 0);
  int error = fd < 0 ? fd : sys_flock(fd, LOCK_EX | LOCK_NB);
  return error < 0 ? error : release(&fd);
}

static int is_other(int dir, const char *name, unsigned char type, void *data) {
  return strcmp(name, "journal") && strcmp(name, "program");
}

// --root may name a directory in which others keep their files, so not every directory in it is a container's. An
// interrupted create or delete leaves a journal without its magic, or no journal, and no other file but the program.
int container_only_begun(int dir) { return !list_directory(dir, is_other, 0); }

static int is_program(int fd) {
  char magic[8];
  return sys4(SYS_pread64, fd, magic, sizeof magic, 0) == sizeof magic && !memcmp(magic, PROGRAM_MAGIC, sizeof magic);
}

// Gives -ENOENT for a path that is missing or is not a state directory. Any other error (no descriptor is left, no
// permission) must not look like a missing container.
static int absent(int error) {
  return error == -ENOTDIR || error == -ELOOP || error == -ENAMETOOLONG ? -ENOENT : error;
}

static void check_owner(struct container *c) {
  struct stat st;
  // The runtime executes what is stored here with its own rights.
  if (sys_fstat(c->dir, &st) < 0 || st.st_uid != sys0(SYS_geteuid) || st.st_mode & 022)
    fail("--root %s: the state directory of %s is another user's, or others may write to it", c->root, c->id);
}

static int open_directory(struct container *c, int lock) {
  CLOSING int root = root_directory(c->root, 0);
  if (root < 0) return absent(root);
  c->dir = sys_open(root, c->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (c->dir < 0) return absent(c->dir);
  check_owner(c);
  return lock ? lock_in(root, c, lock) : 0;
}

// A created container has a program. If it has none, or one that is not what create stores, Python compiles it again.
static int open_program(struct container *c) {
  CLOSING int fd = sys_open(c->dir, "program", O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
  if (!c->journal && !is_program(fd) && !container_only_begun(c->dir)) return -ENOENT;
  if (fd < 0 && fd != -ENOENT) fail("container %s: open its program: %e", c->id, fd);
  if (fd < 0)
    c->foreign = c->journal && c->journal->phase != PHASE_CREATING;
  else
    c->foreign = program_load(&c->program, fd) || !*c->program.facts.id;
  return 0;
}

int container_open(struct container *c, int lock) {
  c->dir = c->pidfd = c->notify = c->ends = -1;
  // If only the lock failed, the directory stays open: it tells the caller which of the two it was.
  int error = open_directory(c, lock);
  if (error && (error != -ETIMEDOUT || c->dir < 0)) return error;
  // For a verb without the lock the journal is read-only memory, except for kill, which writes one word.
  int unreadable = journal_open(c->dir, (lock || c->marks) && !error, &c->journal);
  // Without the journal a delete would leave cgroups and processes behind.
  if (unreadable) fail("container %s: read the journal: %e", c->id, unreadable);
  if (error) return error;
  tell_holder(c, lock);
  error = open_program(c);
  if (error) sys_close(release(&c->dir));
  return error;
}

int container_hold(struct container *c) {
  if (!c->journal || c->journal->pid <= 0) return 0;
  if (c->pidfd < 0) c->pidfd = sys_pidfd_open(c->journal->pid);
  if (c->pidfd == -ESRCH) return 0;
  // The runtime cannot know whether init lives, and must not assume that it has ended.
  if (c->pidfd < 0) fail("container %s: pidfd_open: %e", c->id, c->pidfd);
  // The pidfd is open before the start time is read, so a later use of the pidfd cannot reach another process.
  if (start_time_of(c->journal->pid) == c->journal->start_time && !is_readable(c->pidfd)) return 1;
  sys_close(release(&c->pidfd));
  return 0;
}

const char *container_status(struct container *c) {
  int lives = c->journal && c->journal->phase != PHASE_CREATING && container_hold(c);
  return status_of(c->journal, lives, lives && is_paused(&c->program));
}

int container_write(struct container *c, const char *name, const void *data, size_t size) {
  CLOSING int to = sys_open(c->dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  return to < 0 ? to : write_all(to, data, size);
}

int container_rename(struct container *c, const char *from, const char *to) {
  return (int)sys5(SYS_renameat2, c->dir, from, c->dir, to, 0);
}

int container_keep(struct container *c, const char *name, const void *data, size_t size) {
  BUFFER(new, 64);
  format(&new, "%s.new", name);
  int error = container_write(c, new.data, data, size);
  return error ? error : container_rename(c, new.data, name);
}

// The program, and after it the state: until state.json exists, another build reads the request from here. If the
// program exists, config.json is complete: nobody reads that before.
static int store_program(struct container *c) {
  struct buffer state = state_json(&c->program, c->journal, 0, "creating", -1, 1);
  CLOSING int fd = sys_open(c->dir, "program.new", O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int error = fd < 0 ? fd : write_all(fd, (const char *)c->program.base, c->program.size);
  if (!error) error = write_all(fd, state.data, state.used);
  arena_pop(&state);
  return error ? error : container_rename(c, "program.new", "program");
}

int container_store(struct container *c) {
  int error = container_write(c, "config.json", c->config.text, c->config.size);
  return error ? error : store_program(c);
}

int start_socket(struct container *c, long call) {
  // The path goes through the directory's descriptor, because ids and roots may be longer than a socket address.
  BUFFER(path, 64);
  format(&path, "/proc/self/fd/%d/start.sock", c->dir);
  return unix_socket(SOCK_SEQPACKET, path.data, path.used, call);
}

static int unlink_entry(int dir, const char *name, unsigned char type, void *top) {
  if (top && (!strcmp(name, "journal") || !strcmp(name, "program"))) return 0;
  if (type == DT_DIR) {
    CLOSING int inner = sys_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (inner >= 0) list_directory(inner, unlink_entry, 0);
  }
  int error = sys_unlink(dir, name, type == DT_DIR ? AT_REMOVEDIR : 0);
  return error == -ENOENT ? 0 : error;
}

int container_remove(struct container *c) {
  CLOSING int root = root_directory(c->root, 0);
  // Journal and program last: as long as they exist, another delete can repeat an interrupted one. The journal goes
  // before the program: a journal that says created, without a program, means a container of another build, which
  // Python would compile from files that are gone.
  int error = root < 0 ? root : list_directory(c->dir, unlink_entry, c);
  if (!error) error = unlink_entry(c->dir, "journal", DT_REG, 0);
  if (!error) error = unlink_entry(c->dir, "program", DT_REG, 0);
  if (!error) error = sys_unlink(root, c->id, AT_REMOVEDIR);
  return error == -ENOENT ? 0 : error;
}
