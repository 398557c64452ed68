// --status-fd: what becomes of a container or a process, a JSON object a line, for the program that has started us and
// reads. Errors and warnings go there too (log.c); the end of the reading is told by poll(2) (relay.c).
#include "core.h"

void put_begin(struct buffer *to, int pid, uint64_t start_time) {
  format(to, "{\"pid\":%d,\"startTime\":%l}\n", pid, (int64_t)start_time);
}

void tell_begin(int pid, uint64_t start_time) {
  BUFFER(line, 128);
  put_begin(&line, pid, start_time);
  if (logging.reader >= 0) write_all(logging.reader, line.data, line.used);
}

void put_end(struct buffer *to, int status, int64_t oom_kills) {
  int signal = status & 0x7f;
  format(to, "{\"%s\":%d", signal ? "signal" : "exitCode", signal ? signal : status >> 8);
  if (oom_kills) format(to, ",\"oomKills\":%l", oom_kills);
  put(to, "}\n");
}
