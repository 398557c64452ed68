// The journal of a container: shared memory in its state directory, one page. FROZEN LAYOUT, version 1: every later
// build reads it (docs/architecture.md, "State directory").
#pragma once
#include "base/sys.h"

#define JOURNAL_MAGIC "ocirtjnl"
#define JOURNAL_VERSION 1
#define JOURNAL_SIZE 4096
#define JOURNAL_EFFECTS 240

enum phase { PHASE_CREATING = 1, PHASE_CREATED, PHASE_RUNNING };

// The runtime marks an effect on the host intended before it tries it, and mine once it knows that it made the object.
// Used: the object existed before, and delete must not remove it.
// `number` belongs to the effect of the container's own cgroup in a hierarchy. Mine: 1 + the level, counted from the
// mount, of the first cgroup above that the runtime made; 0: none, or a build that journals each level. Used: how many
// child cgroups existed, each with an effect.
enum effect_state { EFFECT_INTENDED = 1, EFFECT_MINE, EFFECT_USED, EFFECT_UNDONE };

#define END_KNOWN 0x80000000u
#define END_SENT 0x40000000u // the verb kill has sent the signal that ended init

struct effect {
  uint64_t key;
  uint32_t state, number;
};

struct journal {
  char magic[8];
  uint32_t version, phase;
  int32_t pid; // init, in the runtime's pid namespace; 0: none yet
  uint32_t n_effects;
  uint64_t start_time; // of init, clock ticks since boot (field 22 of /proc/PID/stat)
  int64_t created_seconds, created_nanoseconds;
  int32_t creator; // the process that runs create
  uint32_t hooks_run; // a hook of create has run, so undo runs the poststop hooks
  uint64_t creator_start_time;
  uint32_t child_runs; // while creating: the latest child of Spawn has begun to run
  int32_t holder; // the process that holds the lock of the state directory, 0: none, or an older build
  uint64_t holder_start_time;
  uint32_t end; // END_KNOWN and the wait status of init, if a process of the runtime has waited for it; 0 is unknown
  uint32_t sent; // the last signal that the verb kill has sent to init, 0: none, or an older build
  uint8_t reserved[40];
  struct effect effects[JOURNAL_EFFECTS];
};

void journal_begin(struct journal *journal); // a container is created now
int journal_make(int dir, struct journal **journal); // a new one, all zeros: 0 or negative errno

// 0 with the journal of the state directory, or with null if it has none or one of another layout; or negative errno.
int journal_open(int dir, int writable, struct journal **journal);

// The status of a container (runtime.md, State): `lives` says that init lives, `paused` that its cgroup is frozen.
const char *status_of(const struct journal *journal, int lives, int paused);

uint64_t effect_key(const char *a, const char *b);
struct effect *effect_of(struct journal *journal, uint64_t key, int make); // null: none, or no room for one
