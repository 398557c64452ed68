// Records what each process of a verb does, and when: --trace and OCIRT_TRACE (docs/tracing.md).
#pragma once
#include "base/sys.h"

#define SHOWN 1000 // bytes of a text, at most
#define THREAD_NETWORK 20 // the number of the runtime's other thread among its threads and processes

// One event, as a line of Chrome's trace format.
struct line;

struct record {
  char *text; // shared with the verb's other processes; null: nothing is recorded
  size_t size, used, end, room; // of this process' part; after the end there is room for one more line
  int fd; // the file, -1: closed
  uint32_t block; // where in the file `text` is, in pages
  int filtered; // a seccomp filter may refuse to read the clock, so the time stands still
  uint64_t time, offset;
  unsigned thread;
  char pid[8];
};
extern struct record record;

#define LONG_RECORD (96 << 10) // bytes for a verb that makes a process, for some 450 events
#define SHORT_RECORD (16 << 10)

int trace_open(const char *path, size_t size); // appends the part of this verb to the file: 0 or negative errno
void trace_join(int fd, uint32_t block); // init: records in the part of `start`, and closes the descriptor
void trace_become(unsigned section); // a child goes on where there is room for the process of this section
void trace_forget(void);

// Begins an event of a kind (step, wait, hook, ...); null if nothing is recorded.
struct line *trace_begin(const char *kind, const char *name, const char *path, const char *text);
void trace_end(struct line *line, int error);
void trace_note(char phase, const char *name, const char *path, const char *text); // an event without a duration

// `TRACED("launch", "scan", "");` records the rest of its block.
static inline void end_traced(struct line **line) { trace_end(*line, 0); }
#define TRACED(kind, name, what) \
  __attribute__((cleanup(end_traced), unused)) struct line *traced = record.text ? trace_begin(kind, name, "", what) : 0
