#include "state/journal.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/files.h"
#include "base/processes.h"

static int map_journal(int fd, int protection, struct journal **journal) {
  void *memory = mmap(0, JOURNAL_SIZE, protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return -ENOMEM;
  *journal = memory;
  return 0;
}

void journal_begin(struct journal *journal) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  journal->phase = PHASE_CREATING;
  journal->end = 0;
  journal->created_seconds = now.tv_sec;
  journal->created_nanoseconds = now.tv_nsec;
}

int journal_make(int dir, struct journal **journal) {
  char page[JOURNAL_SIZE] = {0};
  CLOSING int fd = sys_open(dir, "journal", O_RDWR | O_CREAT | O_EXCL, 0600);
  // Writes instead of ftruncate(2): a full file system must fail here, not with SIGBUS later.
  int error = fd < 0 ? fd : write_all(fd, page, sizeof page);
  return error ? error : map_journal(fd, PROT_READ | PROT_WRITE, journal);
}

int journal_open(int dir, int writable, struct journal **journal) {
  struct stat st;
  CLOSING int fd = sys_open(dir, "journal", (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK, 0);
  int error = fd < 0 ? fd : sys_fstat(fd, &st);
  if (error || st.st_size != JOURNAL_SIZE) return error == -ENOENT ? 0 : error;
  error = map_journal(fd, writable ? PROT_READ | PROT_WRITE : PROT_READ, journal);
  if (!error && (memcmp((*journal)->magic, JOURNAL_MAGIC, 8) || (*journal)->version != JOURNAL_VERSION)) *journal = 0;
  return error;
}

const char *status_of(const struct journal *j, int lives, int paused) {
  if (!j) return "creating";
  // If its creator has ended, the container is half made.
  if (j->phase == PHASE_CREATING) return process_lives(j->creator, j->creator_start_time) ? "creating" : "stopped";
  if (!lives) return "stopped";
  if (paused) return "paused";
  return j->phase == PHASE_RUNNING ? "running" : "created";
}

uint64_t effect_key(const char *a, const char *b) {
  uint64_t hash = hash_of(hash_of(HASH, a, strlen(a)), b, strlen(b));
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
