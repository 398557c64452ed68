// The record is a file of blanks that fills with lines of Chrome's trace format, mapped by the processes that write to
// it. So no process that dies loses a line, and a browser opens the file as it is.
#include "base/trace.h"

#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "base/files.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/wait.h"
#include "steps.h"

#define DECIMALS 3 // a time in nanoseconds is shown in microseconds
#define LAST 512 // bytes of a part that are kept for its last line
#define LINE (6 * SHOWN + PATH_SIZE) // each byte may be escaped

struct line {
  char pid_is[7], pid[8], thread_is[7], thread[2], phase_is[7], phase, begin_is[7], begin[20], duration_is[7],
      duration[15], error_is[17], error[4];
};
static const char begun[] =
    "{\"pid\":       0,\"tid\": 0,\"ph\":\"B\",\"ts\":                   0,\"dur\":              0,"
    "\"args\":{\"errno\":   0";
_Static_assert(sizeof(struct line) == sizeof begun - 1, "the fields of a line are those of its text");

// The processes share no counter: each has a part of its own, in eighths of what a verb appends to the file.
static const struct {
  unsigned char from, to;
} parts[SECTION_COUNT] = {[SECTION_HOST] = {0, 3},
    [SECTION_STAGE] = {3, 4},
    [SECTION_INIT] = {4, 8},
    [SECTION_IN_CRIU_NETNS] = {4, 6},
    [SECTION_IN_RESTORED_MNTNS] = {6, 8}};
#define OPENING 2 // the array's bracket and a line's end, or blanks

struct record record = {.fd = -1};

static uint64_t now(void) {
  if (!record.filtered) record.time = (uint64_t)nanoseconds(CLOCK_MONOTONIC) + record.offset;
  return record.time;
}

static void put_digits(char *field, size_t size, uint64_t number, int decimals) {
  for (char *at = field + size; number || decimals >= 0; number /= 10, decimals--) {
    *--at = (char)('0' + number % 10);
    if (decimals == 1) *--at = '.';
  }
}
#define PUT_DIGITS(field, number, decimals) put_digits(field, sizeof(field), number, decimals)

void trace_forget(void) {
  if (record.text) sys2(SYS_munmap, record.text, record.size);
  record.text = 0;
}

static int map_block(int fd, size_t size, uint32_t block) {
  char *text = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(block * page_size()));
  if (text == MAP_FAILED) return -ENODEV;
  trace_forget();
  record = (struct record){.text = text, .size = size, .fd = fd, .block = block};
  return 0;
}

// Appends blanks by a write, because a full file system must fail here, and not end a process that fills the mapping.
static int append_block(int fd, size_t size, off_t end) {
  char blanks[4096];
  int error = 0;
  memset(blanks, ' ', sizeof blanks);
  for (; size && !error; size -= sizeof blanks)
    error = write_all(fd, blanks, sizeof blanks);
  if (error) sys2(SYS_ftruncate, fd, end);
  return error;
}

int trace_open(const char *path, size_t size) {
  struct stat st;
  char first = '[';
  CLOSING int fd = sys_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND, 0600);
  int error = fd < 0 ? fd : sys_flock(fd, LOCK_EX); // another verb may append, too
  if (!error) error = sys_fstat(fd, &st);
  if (!error) error = sys4(SYS_pread64, fd, &first, 1, 0) < 0 ? -EBADF : 0; // a pipe, or the like
  if (!error && (first != '[' || st.st_size % (off_t)page_size())) error = -EEXIST; // something else
  if (!error) error = append_block(fd, size, st.st_size);
  if (!error) error = map_block(fd, size, (uint32_t)((size_t)st.st_size / page_size()));
  if (error) return error;
  sys_flock(release(&fd), LOCK_UN);
  if (!st.st_size) memcpy(record.text, "[\n", OPENING);
  memset(record.pid, ' ', sizeof record.pid);
  PUT_DIGITS(record.pid, (uint64_t)sys0(SYS_getpid), 0);
  trace_become(SECTION_HOST);
  return 0;
}

void trace_join(int fd, uint32_t block) {
  CLOSING int file = fd;
  if (file < 0 || map_block(file, SHORT_RECORD, block)) return;
  const struct line *first = (const void *)(record.text + OPENING);
  memcpy(record.pid, first->pid, sizeof record.pid);
  record.fd = -1;
  trace_become(SECTION_INIT);
}

void trace_become(unsigned section) {
  static const char *const names[] = {SECTION_NAMES};
  if (!record.text) return;
  sys_close(section == SECTION_HOST ? -1 : release(&record.fd));
  record.used = section == SECTION_HOST ? OPENING : record.size / 8 * parts[section].from;
  record.room = LAST;
  record.end = record.size / 8 * parts[section].to - LAST;
  record.thread = section;
  // In a time namespace the clock has another beginning, which this cancels.
  record.offset = (uint64_t)(nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC));
  trace_note('M', "thread_name", "", section == SECTION_HOST ? "runtime" : names[section]);
}

// The last line of a part that is full says so.
static void note_full(void) {
  if (!record.room) return;
  record.end += record.room;
  record.room = 0;
  trace_note('i', "full", "", "the record has no room for what this process did from here on");
}

struct line *trace_begin(const char *kind, const char *name, const char *path, const char *text) {
  if (!record.text) return 0;
  _Alignas(struct line) char whole_data[LINE];
  struct buffer whole = {whole_data, sizeof whole_data, 0, 0};
  BUFFER(shown, SHOWN);
  put(&shown, text);
  put(&whole, begun);
  format(&whole, ",\"path\":%j,\"name\":%j},\"cat\":%j,\"name\":%j},\n", path, shown.data, kind, name);
  if (whole.full || record.end - record.used < whole.used) {
    note_full();
    return 0;
  }
  struct line *line = (void *)whole.data;
  memcpy(line->pid, record.pid, sizeof line->pid);
  PUT_DIGITS(line->thread, record.thread, 0);
  PUT_DIGITS(line->begin, now(), DECIMALS);
  line = memcpy(record.text + record.used, whole.data, whole.used);
  record.used += whole.used;
  return line;
}

void trace_end(struct line *line, int error) {
  if (!line) return;
  uint64_t begin = 0;
  for (const char *at = line->begin; at < line->duration_is; at++)
    if (*at >= '0' && *at <= '9') begin = begin * 10 + (uint64_t)(*at - '0');
  PUT_DIGITS(line->duration, now() - begin, DECIMALS);
  PUT_DIGITS(line->error, (uint64_t)(error < 0 ? -error : 0), 0);
  __atomic_store_n(&line->phase, 'X', __ATOMIC_RELEASE);
}

void trace_note(char phase, const char *name, const char *path, const char *text) {
  struct line *line = trace_begin("note", name, path, text);
  if (line) line->phase = phase;
}
