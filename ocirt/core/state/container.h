// A container as its state directory <root>/<id> holds it: lock, journal, program, config.json and state.json.
#pragma once
#include "base/sys.h"
#include "program/program.h"
#include "state/journal.h"

struct container {
  const char *root, *id;
  int dir; // <root>/<id>, locked while a verb changes it
  struct journal *journal; // shared memory; null where the directory has none
  struct program program; // base is null where none is stored, or one of another build
  int foreign; // a program of another build is stored
  int pidfd; // init, -1: not held
  const char *holes; // create, exec: which of the preserved descriptors the caller has not open (launch.c); or null
  const char *notify_host; // start, run: the caller's NOTIFY_SOCKET; null: it has none
  int ends; // a verb that blocks signals until it stays with a process: a signalfd of those that end it, -1: none
  int taken_over; // delete --force has ended who had the lock
  int notify; // start, run: where the container's processes send to, -1: nowhere
};
void container_make(struct container *c); // new directory, locked; fails on an existing id
#define LOCK_SECONDS 10 // longer nobody waits for the lock of a state directory

// 0, -ENOENT, or -ETIMEDOUT with the journal, which says who has the lock. lock: LOCK_EX, LOCK_SH or 0.
int container_open(struct container *c, int lock);
int container_only_begun(int dir); // does it hold only what a create or delete that was cut off leaves?
int container_lock(struct container *c, int lock); // one that is open: the same
void container_unlock(struct container *c);

// A descriptor that says, as long as it is open, that this process starts the container; -EWOULDBLOCK: another does.
int container_claim_start(struct container *c);

// The state is not locked while somebody's end is waited for. Another delete may have finished it all until it is
// locked again.
#define DELETED_MEANWHILE (-ESTALE)
int container_relock(struct container *c); // 0, DELETED_MEANWHILE, or -EBUSY: another verb keeps it locked
#define END_SECONDS 10 // in which a process ends after SIGKILL, or is told in an error
int container_hold(struct container *c); // opens pidfd if init lives: 1, else 0
int container_write(struct container *c, const char *name, const void *data, size_t size);
int container_rename(struct container *c, const char *from, const char *to);
int container_keep(struct container *c, const char *name, const void *data, size_t size); // a whole file: both of them
int container_store(struct container *c, const void *config, size_t size);
int container_remove(struct container *c); // the directory and its files: 0 or negative errno
const char *container_status(struct container *c);
int root_directory(const char *root, int make); // fd or negative errno
