// The log: lines as runc's logrus writes them, to the file of --log or to standard error.
#include "core.h"

#include <stdarg.h>
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

// What engines do not know comes last, of errors alone.
static void put_failed(struct buffer *to) {
  if (failure.phase) { put(to, ",\"phase\":"); put_json(to, failure.phase); }
  if (failure.path) { put(to, ",\"path\":"); put_json(to, failure.path); }
  if (failure.error) { put(to, ",\"errno\":"); put_number(to, failure.error); }
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
  write_all(fd, line.data, line.used);
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

void fail(const char *format, ...) {
  BUFFER(message, LOG_LINE);
  va_list arguments;
  va_start(arguments, format);
  for (const char *at = format; *at; at++) {
    if (*at != '%') put_bytes(&message, at, 1);
    else if (*++at == 's') put(&message, va_arg(arguments, const char *));
    else if (*at == 'd') put_number(&message, va_arg(arguments, int));
    else if (*at == 'e') {
      int error = va_arg(arguments, int);
      put_error(&message, error);
      if (!failure.error) failure.error = error < 0 ? -error : error;
    }
  }
  va_end(arguments);
  log_error(message.data);
  sys_exit(logging.status);
}
