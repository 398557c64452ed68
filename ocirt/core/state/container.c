// The state directory <root>/<id>: made, locked, read and removed. Files: config.json, state.json, journal, program,
// start.sock. See docs/architecture.md, "State directory".
#include "state/container.h"

#include <dirent.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/processes.h"
#include "base/wait.h"
#include "state/facts.h"
#include "state/state_json.h"

int root_directory(const char *root, int make) {
  int fd = sys_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
  if (fd != -ENOENT || !make) return fd;
  BUFFER(path, 4096);
  // Every missing parent is made for the world to pass, the root directory itself for its owner alone.
  for (const char *at = root; *at; at++) {
    if (*at == '/' && path.used && at[1]) sys_mkdir(AT_FDCWD, path.data, 0755);
    put_bytes(&path, at, 1);
  }
  int error = sys_mkdir(AT_FDCWD, path.data, 0700);
  if (error < 0 && error != -EEXIST) return error;
  return sys_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
}

static struct journal *map_journal(int fd, int protection) {
  void *memory = mmap(0, JOURNAL_SIZE, protection, MAP_SHARED, fd, 0);
  sys_close(fd);
  return memory == MAP_FAILED ? 0 : memory;
}

// Who has the lock says so: `delete --force` ends whoever has it for too long.
static void tell_holder(struct container *c, int lock) {
  if (lock != LOCK_EX || !c->journal) return;
  c->journal->holder = 0;
  int pid = (int)sys0(SYS_getpid);
  if (!read_start_time(pid, &c->journal->holder_start_time))
    __atomic_store_n(&c->journal->holder, pid, __ATOMIC_SEQ_CST);
}

// flock(2) knows no time limit, so it is asked again and again: -ETIMEDOUT after LOCK_SECONDS.
static int lock_in(int root, struct container *c, int lock) {
  struct stat ours, present;
  struct timespec pause = {0, 5000000};
  int error;
  for (int64_t end = 0; (error = sys_flock(c->dir, lock | LOCK_NB)) == -EWOULDBLOCK; sys2(SYS_nanosleep, &pause, 0)) {
    if (!end)
      end = milliseconds() + LOCK_SECONDS * 1000L;
    else if (milliseconds() >= end)
      return -ETIMEDOUT;
  }
  if (error < 0) return error;
  // Deleted while we waited, perhaps made anew under the same id.
  return sys_fstat(c->dir, &ours) < 0 || sys_stat(root, c->id, &present, AT_SYMLINK_NOFOLLOW) < 0 ||
                 ours.st_ino != present.st_ino || ours.st_dev != present.st_dev
             ? -ENOENT
             : 0;
}

int container_make(struct container *c) {
  int root = root_directory(c->root, 1);
  if (root < 0)
    fail("--root %s: %e%s", c->root, root,
        sys0(SYS_geteuid) ? "; set XDG_RUNTIME_DIR to a directory of this user, or give --root another one" : "");
  int error = sys_mkdir(root, c->id, 0700);
  if (error == -EEXIST) fail("container already exists: %s", c->id);
  if (error < 0) fail("--root %s: make the state directory of %s: %e", c->root, c->id, error);
  c->dir = sys_open(root, c->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (c->dir < 0) {
    sys_unlink(root, c->id, AT_REMOVEDIR);
    fail("--root %s: open the state directory of %s: %e", c->root, c->id, c->dir);
  }
  error = lock_in(root, c, LOCK_EX);
  // A delete may have come in between: what it finds without a journal it removes.
  if (error) {
    container_remove(c);
    fail("--root %s: lock the state directory of %s: flock: %e", c->root, c->id, error);
  }
  int fd = sys_open(c->dir, "journal", O_RDWR | O_CREAT | O_EXCL, 0600);
  char page[JOURNAL_SIZE] = {0};
  // Written rather than truncated to size: a full file system must fail here, not with SIGBUS later.
  error = fd < 0 ? fd : write_all(fd, page, sizeof page);
  if (!error && !(c->journal = map_journal(fd, PROT_READ | PROT_WRITE))) error = -ENOMEM;
  uint64_t start_time = 0;
  int creator = (int)sys0(SYS_getpid), untold = error ? 0 : read_start_time(creator, &start_time);
  if (error || untold) {
    // Without a new descriptor: it may be for want of one that we are here.
    sys_unlink(c->dir, "journal", 0);
    sys_unlink(root, c->id, AT_REMOVEDIR);
    if (untold) fail("read /proc/%d/stat: %e", creator, untold);
    fail("--root %s: write the journal of %s: %e", c->root, c->id, error);
  }
  sys_close(root);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  *c->journal = (struct journal){.version = JOURNAL_VERSION,
      .phase = PHASE_CREATING,
      .created_seconds = now.tv_sec,
      .created_nanoseconds = now.tv_nsec,
      .creator = creator,
      .creator_start_time = start_time,
      .holder = creator,
      .holder_start_time = start_time};
  memcpy(c->journal->magic, JOURNAL_MAGIC, sizeof c->journal->magic);
  return 0;
}

int container_lock(struct container *c, int lock) {
  CLOSING int root = root_directory(c->root, 0);
  int error = root < 0 ? -ENOENT : lock_in(root, c, lock);
  if (!error) tell_holder(c, lock);
  return error;
}

void container_unlock(struct container *c) {
  c->journal->holder = 0;
  sys_flock(c->dir, LOCK_UN);
}

int container_relock(struct container *c) {
  int error = container_lock(c, LOCK_EX);
  return error == -ENOENT ? DELETED_MEANWHILE : error == -ETIMEDOUT ? -EBUSY : error;
}

int container_claim_start(struct container *c) {
  CLOSING int fd = sys_open(c->dir, "journal", O_RDONLY | O_NOFOLLOW, 0);
  int error = fd < 0 ? fd : sys_flock(fd, LOCK_EX | LOCK_NB);
  return error < 0 ? error : release(&fd);
}

static int is_other(int dir, const char *name, unsigned char type, void *data) {
  (void)dir;
  (void)type;
  (void)data;
  return strcmp(name, "journal") && strcmp(name, "program");
}

// A directory is not a container's by its place alone: --root may name one in which others keep their files. A create
// or a delete that was cut off leaves the journal without its magic, or without a journal, and no file but these two.
int container_only_begun(int dir) {
  return !list_directory(dir, is_other, 0);
}

static int is_program(int fd) {
  char magic[8];
  return sys4(SYS_pread64, fd, magic, sizeof magic, 0) == sizeof magic && !memcmp(magic, PROGRAM_MAGIC, sizeof magic);
}

// What is not there, or is no state directory. Any other error (no descriptor is left, no right to look) must not pass
// for that.
static int absent(int error) {
  return error == -ENOTDIR || error == -ELOOP || error == -ENAMETOOLONG ? -ENOENT : error;
}

int container_open(struct container *c, int lock) {
  c->dir = c->pidfd = c->notify = c->ends = -1;
  int root = root_directory(c->root, 0);
  if (root < 0) return absent(root);
  c->dir = sys_open(root, c->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (c->dir < 0) {
    sys_close(root);
    return absent(c->dir);
  }
  struct stat st;
  // What is stored here is run with our rights.
  if (sys_fstat(c->dir, &st) < 0 || st.st_uid != sys0(SYS_geteuid) || st.st_mode & 022)
    fail("--root %s: the state directory of %s is another user's, or others may write to it", c->root, c->id);
  int locked = lock ? lock_in(root, c, lock) : 0;
  sys_close(root);
  if (locked && locked != -ETIMEDOUT) {
    sys_close(c->dir);
    return locked;
  }
  // Only a verb that holds the lock may write to the journal: for the others, exec among them, it is not writable
  // memory.
  int writes = lock && !locked;
  int fd = sys_open(c->dir, "journal", (writes ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK, 0);
  int error = fd < 0 ? fd : sys_fstat(fd, &st);
  if (!error && st.st_size != JOURNAL_SIZE)
    sys_close(fd);
  else if (!error && !(c->journal = map_journal(fd, writes ? PROT_READ | PROT_WRITE : PROT_READ)))
    error = -ENOMEM;
  // Without what it says a delete would leave cgroups and processes behind.
  if (error && error != -ENOENT) fail("container %s: read the journal: %e", c->id, error);
  if (c->journal && (memcmp(c->journal->magic, JOURNAL_MAGIC, 8) || c->journal->version != JOURNAL_VERSION))
    c->journal = 0;
  if (locked) {
    sys_close(c->dir);
    return locked;
  }
  tell_holder(c, lock);
  fd = sys_open(c->dir, "program", O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
  if (!c->journal && !is_program(fd) && !container_only_begun(c->dir)) {
    sys_close(fd);
    sys_close(release(&c->dir));
    return -ENOENT;
  }
  // One that has been created has a program: without one, or with one that is not what create stores, it is compiled
  // anew.
  if (fd < 0 && fd != -ENOENT) fail("container %s: open its program: %e", c->id, fd);
  if (fd < 0)
    c->foreign = c->journal && c->journal->phase != PHASE_CREATING;
  else if (program_load(&c->program, fd) || !*c->program.facts.id)
    c->foreign = 1;
  sys_close(fd);
  return 0;
}

int container_hold(struct container *c) {
  if (!c->journal || c->journal->pid <= 0) return 0;
  if (c->pidfd < 0) c->pidfd = sys_pidfd_open(c->journal->pid);
  if (c->pidfd == -ESRCH) return 0;
  // Whether it lives cannot be told: that is no end of it.
  if (c->pidfd < 0) fail("container %s: pidfd_open: %e", c->id, c->pidfd);
  // The pidfd is open: the pid cannot change hands between this look and what is done through it.
  if (start_time_of(c->journal->pid) == c->journal->start_time && sys_poll(c->pidfd, 1 /* POLLIN */, 0) == 0) return 1;
  sys_close(c->pidfd);
  c->pidfd = -1;
  return 0;
}

const char *container_status(struct container *c) {
  if (!c->journal) return "creating";
  if (c->journal->phase == PHASE_CREATING) {
    // A creator that is gone has left it half made.
    return start_time_of(c->journal->creator) == c->journal->creator_start_time ? "creating" : "stopped";
  }
  if (!container_hold(c)) return "stopped";
  if (is_paused(&c->program)) return "paused";
  return c->journal->phase == PHASE_RUNNING ? "running" : "created";
}

int container_write(struct container *c, const char *name, const void *data, size_t size) {
  int to = sys_open(c->dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600), error = to;
  if (to >= 0) error = write_all(to, data, size);
  sys_close(to);
  return error;
}

int container_rename(struct container *c, const char *from, const char *to) {
  return (int)sys5(SYS_renameat2, c->dir, from, c->dir, to, 0);
}

int container_keep(struct container *c, const char *name, const void *data, size_t size) {
  BUFFER(new, 64);
  put(&new, name);
  put(&new, ".new");
  int error = container_write(c, new.data, data, size);
  return error ? error : container_rename(c, new.data, name);
}

// The program, and after it the state: until state.json is there another build finds in it what was asked for. Where
// there is a program there is config.json, all of it: nobody looks into that before.
static int store_program(struct container *c) {
  struct buffer state = state_buffer(&c->program);
  put_state(&state, &c->program, c->journal, 0, "creating", 0, 1);
  int fd = sys_open(c->dir, "program.new", O_WRONLY | O_CREAT | O_TRUNC, 0600), error = fd;
  if (fd >= 0) error = write_all(fd, (const char *)c->program.base, c->program.size);
  if (!error) error = write_all(fd, state.data, state.used);
  sys_close(fd);
  less_memory(&state);
  return error ? error : container_rename(c, "program.new", "program");
}

int container_store(struct container *c, const void *config, size_t size) {
  int error = container_write(c, "config.json", config, size);
  return error ? error : store_program(c);
}

static int unlink_entry(int dir, const char *name, unsigned char type, void *top) {
  if (top && (!strcmp(name, "journal") || !strcmp(name, "program"))) return 0;
  if (type == DT_DIR) {
    int inner = sys_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (inner >= 0) list_directory(inner, unlink_entry, 0);
    sys_close(inner);
  }
  int error = sys_unlink(dir, name, type == DT_DIR ? AT_REMOVEDIR : 0);
  return error == -ENOENT ? 0 : error;
}

int container_remove(struct container *c) {
  CLOSING int root = root_directory(c->root, 0);
  // Journal and program last: while they are there, a delete that is cut off can be done again. The journal goes first:
  // one that says created without a program would be a container of another build, to be compiled anew from files that
  // are gone.
  int error = root < 0 ? root : list_directory(c->dir, unlink_entry, c);
  if (!error) error = unlink_entry(c->dir, "journal", DT_REG, 0);
  if (!error) error = unlink_entry(c->dir, "program", DT_REG, 0);
  if (!error) error = sys_unlink(root, c->id, AT_REMOVEDIR);
  return error == -ENOENT ? 0 : error;
}

uint64_t effect_key(const char *a, const char *b) {
  uint64_t hash = 0xcbf29ce484222325; // FNV-1a
  for (; *a; a++)
    hash = (hash ^ (unsigned char)*a) * 0x100000001b3;
  for (; *b; b++)
    hash = (hash ^ (unsigned char)*b) * 0x100000001b3;
  return hash ? hash : 1;
}

struct effect *effect_of(struct journal *j, uint64_t key, int make) {
  if (!j) return 0;
  uint32_t count = j->n_effects < JOURNAL_EFFECTS ? j->n_effects : JOURNAL_EFFECTS;
  for (uint32_t i = 0; i < count; i++)
    if (j->effects[i].key == key) return &j->effects[i];
  if (!make || count == JOURNAL_EFFECTS) return 0;
  j->effects[count] = (struct effect){.key = key};
  __atomic_store_n(&j->n_effects, count + 1, __ATOMIC_SEQ_CST);
  return &j->effects[count];
}
