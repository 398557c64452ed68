// A container as its state directory <root>/<id> holds it: lock, journal, program, config.json and state.json.
#pragma once
#include "base/text.h"
#include "program/program.h"
#include "state/journal.h"

struct container {
  const char *root, *id;
  int dir; // <root>/<id>, locked while a verb changes it
  struct journal *journal; // shared memory; null if the directory has none
  struct span config; // create: the text of config.json
  struct program program; // base is null if none is stored, or one of another build
  int marks; // the verb writes to the journal without the lock
  int foreign; // the stored program is of another build
  int pidfd; // init, -1: not held
  const int *holes; // create, exec: which of the preserved descriptors are not open in the caller
                    // (launch/descriptors.h); or null
  const char *notify_host; // start, run: the caller's NOTIFY_SOCKET; null: it has none
  int ends; // a signalfd of the signals that end the verb while it blocks all signals, -1: none
  int taken_over; // delete --force has killed the process that held the lock
  int notify; // start, run: the socket that the container's processes notify, -1: none
};
void container_make(struct container *c); // new directory, locked; fails on an existing id
#define LOCK_SECONDS 10 // the longest wait for the lock of a state directory

// 0, -ENOENT, or -ETIMEDOUT with the journal, which names the holder of the lock. lock: LOCK_EX, LOCK_SH or 0.
int container_open(struct container *c, int lock);
int container_only_begun(int dir); // does it hold only what an interrupted create or delete leaves?
int container_lock(struct container *c); // LOCK_EX for an open container
void container_unlock(struct container *c);

// Claims the start of the container until the descriptor is closed; -EWOULDBLOCK: another process has claimed it.
int container_claim_start(struct container *c);

// A verb unlocks the state while it waits for processes to end. Meanwhile another delete may have removed it.
#define DELETED_MEANWHILE (-ESTALE)
int container_relock(struct container *c); // 0, DELETED_MEANWHILE, or -EBUSY: another verb keeps it locked
#define END_SECONDS 10 // after SIGKILL; an error names a process that takes longer
int container_hold(struct container *c); // opens pidfd if init lives: 1, else 0
int container_write(struct container *c, const char *name, const void *data, size_t size);
int container_rename(struct container *c, const char *from, const char *to);
int container_keep(struct container *c, const char *name, const void *data, size_t size); // replaces a file by rename
int container_store(struct container *c); // config.json and the program
int start_socket(struct container *c, long call); // start.sock, by SYS_bind or SYS_connect: fd or negative errno
int container_remove(struct container *c); // the directory and its files: 0 or negative errno
const char *container_status(struct container *c);
int root_directory(const char *root, int make); // fd or negative errno
