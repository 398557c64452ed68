// --status-fd: reports begin and end of a process to the calling program, one JSON object a line. Errors and warnings
// go there, too (base/log.c); verbs/foreground.c learns by poll(2) that the reader is gone.
#include "state/status_fd.h"

#include "base/files.h"
#include "base/log.h"
#include "base/wait.h"
#include "state/facts.h"

// Begin and end carry the monotonic clock in nanoseconds, so that the reader can compute how long the process ran.
void put_begin(struct buffer *to, int pid, uint64_t start_time, int renews) {
  format(to, "{\"pid\":%d,\"startTime\":%l%s,\"clock\":%l}\n", pid, (int64_t)start_time,
      renews ? ",\"renews\":true" : "", nanoseconds(CLOCK_MONOTONIC));
}

void leave_process(int pid, uint64_t start_time) {
  BUFFER(line, 128);
  put_begin(&line, pid, start_time, 0);
  if (logging.reader >= 0) write_all(logging.reader, line.data, line.used);
  end_verb(0);
}

static int64_t microseconds(struct timeval time) { return (int64_t)time.tv_sec * 1000000 + time.tv_usec; }

void put_end(struct buffer *to, const struct container *c, int status, const struct rusage *usage) {
  int signal = status & 0x7f;
  int64_t kills = oom_kills(&c->program), peak = memory_peak(&c->program);
  format(to, "{\"%s\":%d", signal ? "signal" : "exitCode", signal ? signal : status >> 8);
  int64_t refused = status ? pids_refused(&c->program) : 0; // a program that succeeds need not be explained
  if (kills) format(to, ",\"oomKills\":%l", kills);
  if (refused) format(to, ",\"pidsRefused\":%l", refused);
  if (c->journal->end & END_SENT) put(to, ",\"sender\":\"ocirt kill\"");
  format(to, ",\"cpuMicroseconds\":%l,\"memoryPeak\":%l,\"clock\":%l}\n",
      microseconds(usage->ru_utime) + microseconds(usage->ru_stime), peak ? peak : (int64_t)usage->ru_maxrss * 1024,
      nanoseconds(CLOCK_MONOTONIC));
}
