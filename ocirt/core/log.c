// The log: lines as runc's logrus writes them, to the file of --log or to standard error.
#include "core.h"

#include <string.h>
#include <time.h>

struct log logging = {.status = 1, .reader = -1};
struct failure failure;

// logrus quotes a message in text format unless it is made of these characters only.
static int needs_quotes(const char *text) {
  if (!*text) return 1;
  for (; *text; text++) {
    char c = *text;
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._/@^+", c))) return 1;
  }
  return 0;
}

// Engines take a JSON log of a failed verb for one object (podman reads the whole file as such). So warnings that this process
// has written at its end, from `begin` to `end`, are taken back and told in the error's object.
static struct { long begin, end; struct buffer told; char text[LOG_LINE / 2]; } warned;

static void remember_warning(int fd, const char *message, size_t length) {
  long end = sys3(SYS_lseek, fd, 0, SEEK_CUR);
  if (!warned.told.data) warned.told = (struct buffer){warned.text, sizeof warned.text, 0, 0};
  put(&warned.told, warned.told.used ? "," : ""); put_json(&warned.told, message);
  if (warned.end != end - (long)length) warned.begin = end - (long)length;
  warned.end = end;
}

// Unless somebody else has written behind them, or is about to.
static void take_warnings_back(int fd) {
  struct stat st;
  if (!warned.told.used || sys_flock(fd, 2 | 4 /* LOCK_EX | LOCK_NB */)) return;
  if (sys_fstat(fd, &st) == 0 && st.st_size == warned.end) sys2(SYS_ftruncate, fd, warned.begin);
}

// What engines do not know comes last, of errors alone.
static void put_failed(struct buffer *to) {
  if (failure.phase) { put(to, ",\"phase\":"); put_json(to, failure.phase); }
  if (failure.path) { put(to, ",\"path\":"); put_json(to, failure.path); }
  if (failure.error) { put(to, ",\"errno\":"); put_number(to, failure.error); }
  if (warned.told.used && !warned.told.full && to->used + warned.told.used + 32 < to->size) {
    put(to, ",\"warnings\":["); put(to, warned.told.data); put(to, "]");
  }
}

static void put_line(struct buffer *to, int json, const char *level, const char *message) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (json) {
    put(to, "{\"level\":\""); put(to, level);
    put(to, "\",\"msg\":"); put_json(to, message);
    put(to, ",\"time\":\""); put_time(to, now.tv_sec, -1);
    put(to, "\"");
    if (!strcmp(level, "error")) put_failed(to);
    put(to, "}");
  } else {
    put(to, "time=\""); put_time(to, now.tv_sec, -1);
    put(to, "\" level="); put(to, level);
    put(to, " msg=");
    if (needs_quotes(message)) put_json(to, message); else put(to, message);
  }
  put(to, "\n");
}

void log_line(const char *level, const char *message) {
  BUFFER(line, LOG_LINE);
  int is_warning = !strcmp(level, "warning"), is_error = !strcmp(level, "error");
  if (logging.reader >= 0) {
    put_line(&line, 1, level, message);
    write_all(logging.reader, line.data, line.used);
    if (!logging.path) return;
    line.used = line.full = 0;
  }
  put_line(&line, logging.json, level, message);
  int fd = 2;
  if (logging.path) {
    fd = sys_open(AT_FDCWD, logging.path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0) fd = 2;
  }
  int in_json = logging.json && fd != 2;
  if (in_json && is_error) take_warnings_back(fd);
  write_all(fd, line.data, line.used);
  if (in_json && is_warning) remember_warning(fd, message, line.used);
  if (fd != 2) sys_close(fd);
}

void log_error(const char *text) {
  BUFFER(whole, LOG_LINE);
  if (logging.prefix) put(&whole, logging.prefix);
  put(&whole, text);
  const char *message = whole.data;
  log_line("error", message);
  if (!logging.path || logging.reader >= 0) return;
  BUFFER(line, LOG_LINE);
  put(&line, message); put(&line, "\n");
  write_all(2, line.data, line.used);
}

void fail(const char *pattern, ...) {
  BUFFER(message, LOG_LINE);
  va_list arguments;
  va_start(arguments, pattern);
  int error = vformat(&message, pattern, arguments);
  va_end(arguments);
  if (!failure.error) failure.error = error < 0 ? -error : error;
  log_error(message.data);
  sys_exit(logging.status);
}
