// The record is a file of events, mapped by the processes that write to it, so that no process that dies loses one.
// Python makes all else from it (ocirt/cli/trace).
#include "base/trace.h"

#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/wait.h"
#include "steps.h"

// What a verb appends to the file. Events follow.
struct trace_part {
  char magic[sizeof RECORD_MAGIC - 1];
  uint64_t used; // of the part; a process reserves room by adding to it, even if there is none
  uint32_t size, pid;
};

struct record record = {.fd = -1};

static uint64_t now(void) {
  if (!record.filtered) record.time = (uint64_t)nanoseconds(CLOCK_MONOTONIC) + record.offset;
  return record.time;
}

void trace_forget(void) {
  if (record.part) sys2(SYS_munmap, record.part, record.size);
  record.part = 0;
}

// A child that fails has its error reported by the runtime, which ends the verb.
void trace_finish(int error) {
  if (record.part && record.thread == SECTION_HOST) trace_end(record.whole, error);
}

static int map_part(int fd, size_t size, uint32_t page) {
  void *part = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(page * page_size()));
  if (part == MAP_FAILED) return -ENODEV;
  trace_forget();
  record = (struct record){.part = part, .size = size, .fd = fd, .page = page};
  return 0;
}

static int is_record(const void *beginning) { return !memcmp(beginning, RECORD_MAGIC, sizeof RECORD_MAGIC - 1); }

// 0 for a record or an empty file of the caller's: another owner could read and cut it. -EUCLEAN for a cut record.
static int foreign(int fd, const struct stat *st) {
  char first[sizeof RECORD_MAGIC] = RECORD_MAGIC; // for an empty file
  sys4(SYS_pread64, fd, first, sizeof first, 0);
  if (st->st_uid != sys0(SYS_geteuid) || !is_record(first)) return -EEXIST;
  return st->st_size % (off_t)page_size() ? -EUCLEAN : 0;
}

int trace_open(const char *path, size_t size) {
  struct stat st;
  CLOSING int fd = sys_open(AT_FDCWD, path, O_RDWR | O_CREAT, 0600);
  int error = fd < 0 ? fd : sys_flock(fd, LOCK_EX); // another verb may append, too
  if (!error) error = sys_fstat(fd, &st);
  if (!error) error = foreign(fd, &st);
  if (error) return error;
  // A full file system must fail here, and not end a process that fills the mapping.
  error = (int)sys4(SYS_fallocate, fd, 0, st.st_size, size);
  if (!error) error = map_part(fd, size, (uint32_t)((size_t)st.st_size / page_size()));
  if (error) {
    sys2(SYS_ftruncate, fd, st.st_size);
    return error;
  }
  *record.part =
      (struct trace_part){.used = sizeof *record.part, .size = (uint32_t)size, .pid = (uint32_t)sys0(SYS_getpid)};
  memcpy(record.part->magic, RECORD_MAGIC, sizeof record.part->magic);
  sys_flock(release(&fd), LOCK_UN);
  trace_become(SECTION_HOST);
  return 0;
}

void trace_join(int fd, uint32_t page) {
  CLOSING int file = fd;
  if (fd < 0 || map_part(release(&file), SHORT_RECORD, page)) return;
  if (!is_record(record.part)) trace_forget(); // `start` is of another build
  trace_become(SECTION_INIT);
}

void trace_become(unsigned section) {
  if (section != SECTION_HOST) sys_close(release(&record.fd));
  if (!record.part) return;
  record.thread = section;
  // In a time namespace the clock has another beginning, which this cancels.
  record.offset = (uint64_t)(nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC));
}

struct trace_event *trace_begin(const char *kind, const char *name, const char *path, const char *text) {
  const char *const texts[] = {kind, name, path, text};
  size_t sizes[COUNT(texts)], size = sizeof(struct trace_event) + 7;
  if (!record.part) return 0;
  for (unsigned i = 0; i < COUNT(texts); i++)
    size += (sizes[i] = strnlen(texts[i], SHOWN)) + 1;
  size &= ~(size_t)7;
  uint64_t at = __atomic_fetch_add(&record.part->used, size, __ATOMIC_RELAXED);
  if (at > record.size - size) return 0;
  struct trace_event *event = (void *)((char *)record.part + at);
  char *to = (char *)(event + 1);
  __atomic_store_n(&event->size, size, __ATOMIC_RELEASE); // first, so that a reader finds the next event in any case
  event->thread = (uint8_t)record.thread;
  event->begin = now();
  for (unsigned i = 0; i < COUNT(texts); i++)
    to = (char *)mempcpy(to, texts[i], sizes[i]) + 1;
  __atomic_store_n(&event->phase, 'B', __ATOMIC_RELEASE);
  return event;
}

void trace_end(struct trace_event *event, int error) {
  if (!event) return;
  event->lasts = now() - event->begin;
  event->error = (uint16_t)(error < 0 ? -error : 0);
  __atomic_store_n(&event->phase, 'X', __ATOMIC_RELEASE);
}

void trace_note(const char *name, const char *path, const char *text) {
  struct trace_event *event = trace_begin("note", name, path, text);
  if (event) event->phase = 'i';
}
