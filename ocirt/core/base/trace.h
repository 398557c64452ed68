// Records what each process of a verb does, and when: --trace and OCIRT_TRACE (docs/tracing.md).
#pragma once
#include "base/sys.h"

#define SHOWN 1000 // bytes of a text, at most
#define THREAD_NETWORK 20 // the number of the runtime's other thread among its threads and processes

// What a process did. Four texts follow, each with its NUL: the kind (step, wait, hook, ...), the name, the JSON path,
// and what it was to do. ocirt/cli/record.py describes the same for Python.
struct trace_event {
  uint32_t size; // with the texts, a multiple of 8
  uint8_t phase, thread; // 0: not written whole, 'B': has not ended, 'X': has ended, 'i': a note
  uint16_t error;
  uint64_t begin, lasts; // nanoseconds
};

struct record {
  struct trace_part *part; // shared with the verb's other processes; null: nothing is recorded
  size_t size; // of the part
  int fd; // the file, -1: closed
  uint32_t page; // where in the file the part is
  int filtered; // a seccomp filter may refuse to read the clock, so the time stands still
  uint64_t time, offset;
  unsigned thread;
  struct trace_event *whole; // the verb, from its title to its end
};
extern struct record record;

#define LONG_RECORD (64 << 10) // bytes for a verb that makes a process, for some 500 events
#define SHORT_RECORD (16 << 10)

int trace_open(const char *path, size_t size); // appends the part of this verb to the file: 0 or negative errno
void trace_join(int fd, uint32_t page); // init: records in the part of `start`, and closes the descriptor
void trace_become(unsigned section); // the events of this process are those of a section from here on
void trace_forget(void);
void trace_finish(int error); // the verb has ended: a record without this was cut off by whoever killed the runtime

struct trace_event *trace_begin(const char *kind, const char *name, const char *path, const char *text); // or null
void trace_end(struct trace_event *event, int error);
void trace_note(const char *name, const char *path, const char *text); // an event without a duration

// `TRACED("launch", "scan", "");` records the rest of its block.
static inline void end_traced(struct trace_event **event) { trace_end(*event, 0); }
#define TRACED(kind, name, what) \
  __attribute__((cleanup(end_traced), unused)) struct trace_event *traced = trace_begin(kind, name, "", what)
