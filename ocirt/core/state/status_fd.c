// --status-fd: what becomes of a container or a process, a JSON object a line, for the program that has started us and
// reads. Errors and warnings go there too (log.c); the end of the reading is told by poll(2) (relay.c).
#include "state/status_fd.h"

#include "base/files.h"
#include "base/log.h"
#include "state/facts.h"

// Begin and end have the time on the monotonic clock, in nanoseconds: what lies between them is how long it ran.
static void put_clock(struct buffer *to) {
  struct timespec now = {0};
  sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  format(to, ",\"clock\":%l}\n", (int64_t)now.tv_sec * 1000000000 + now.tv_nsec);
}

void put_begin(struct buffer *to, int pid, uint64_t start_time) {
  format(to, "{\"pid\":%d,\"startTime\":%l", pid, (int64_t)start_time);
  put_clock(to);
}

void tell_begin(int pid, uint64_t start_time) {
  BUFFER(line, 128);
  put_begin(&line, pid, start_time);
  if (logging.reader >= 0) write_all(logging.reader, line.data, line.used);
}

static int64_t microseconds(struct timeval time) {
  return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

void put_end(struct buffer *to, const struct program *program, int status, const struct rusage *usage) {
  int signal = status & 0x7f;
  int64_t kills = oom_kills(program), peak = memory_peak(program);
  format(to, "{\"%s\":%d", signal ? "signal" : "exitCode", signal ? signal : status >> 8);
  if (kills) format(to, ",\"oomKills\":%l", kills);
  format(to, ",\"cpuMicroseconds\":%l,\"memoryPeak\":%l", microseconds(usage->ru_utime) + microseconds(usage->ru_stime),
      peak ? peak : (int64_t)usage->ru_maxrss * 1024);
  put_clock(to);
}
