// --status-fd: what becomes of a container or a process, a JSON object a line, for the program that has started us and
// reads. Errors and warnings go there too (log.c); the end of the reading is told by poll(2) (relay.c).
#include "core.h"

static void tell(struct buffer *line) {
  put(line, "}\n");
  write_all(logging.reader, line->data, line->used);
}

void tell_begin(int pid, uint64_t start_time) {
  if (logging.reader < 0) return;
  BUFFER(line, 128);
  put(&line, "{\"pid\":"); put_number(&line, pid);
  put(&line, ",\"startTime\":"); put_number(&line, (int64_t)start_time);
  tell(&line);
}

void tell_end(int status, int64_t oom_kills) {
  if (logging.reader < 0) return;
  BUFFER(line, 128);
  put(&line, status & 0x7f ? "{\"signal\":" : "{\"exitCode\":"); put_number(&line, status & 0x7f ? status & 0x7f : status >> 8);
  if (oom_kills) { put(&line, ",\"oomKills\":"); put_number(&line, oom_kills); }
  tell(&line);
}
