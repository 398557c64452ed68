// The log: writes lines in the format of runc's logrus to the target of --log, or to standard error. If standard error
// is a terminal, a person reads it and gets a sentence instead.
#include "base/log.h"

#include <string.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <syslog.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>

#include "base/files.h"
#include "base/memory.h"
#include "base/socket.h"
#include "base/trace.h"
#include "steps.h"

struct log logging = {.status = 1, .reader = -1};

struct failure failure;

// Podman reads the whole JSON log of a failed verb as one object. So warnings wait in memory, each ended by NUL: a
// failing verb puts them into the error's object, any other writes a line for each once it has done its work.
static COLD_BSS struct {
  int passed;
  size_t used;
  char text[1 << 16];
} warned;

// ---- where lines go ----

// The socket of the log backend that `log` names as crun does, and the name that its lines carry; null for a file.
static const char *socket_of(const char *log, const char **name) {
  static const char *const backends[][2] = {{"journald:", "/run/systemd/journal/socket"}, {"syslog:", "/dev/log"}};
  for (unsigned i = 0; i < COUNT(backends); i++) {
    size_t size = strlen(backends[i][0]);
    *name = log + size;
    if (!strncmp(log, backends[i][0], size)) return backends[i][1];
  }
  return 0;
}

int log_is_file(const char *log) {
  const char *name;
  return !socket_of(log, &name);
}

static int open_log(void) {
  const char *name, *socket = socket_of(logging.path, &name);
  if (socket) return unix_socket(SOCK_DGRAM, socket, strlen(socket), SYS_connect);
  return sys_open(AT_FDCWD, logging.path, O_WRONLY | O_CREAT | O_APPEND, 0644);
}

void log_check(void) {
  const char *name, *path = logging.path, *socket = path ? socket_of(path, &name) : 0;
  CLOSING int fd = path ? open_log() : -1;
  if (!path || fd >= 0) return;
  logging.path = 0;
  fail(socket ? "--log %s: connect to %s: %e" : "--log %s: open%s: %e", path, socket ? socket : "", fd);
}

// Journald's native protocol, in which a message may have several lines, or that of syslog.
static void put_datagram(struct buffer *to, const char *log, const char *level, const char *message) {
  const char *name;
  int priority = !strcmp(level, "error") ? LOG_ERR : LOG_WARNING;
  uint64_t size = strlen(message);
  socket_of(log, &name);
  if (*log == 's') {
    format(to, "<%d>%s[%d]: %s", LOG_USER | priority, name, (int)sys0(SYS_getpid), message);
    return;
  }
  format(to, "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nMESSAGE\n", priority, name);
  put_bytes(to, (const char *)&size, sizeof size);
  format(to, "%s\n", message);
}

// ---- what a line holds ----

// logrus quotes a message in text format unless it is made of these characters only.
static int needs_quotes(const char *text) {
  return !*text || text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")];
}

// Appends the members that only ocirt writes. Engines ignore them.
static void put_failed(struct buffer *to) {
  if (failure.phase) format(to, ",\"phase\":%j", failure.phase);
  if (failure.path) format(to, ",\"path\":%j", failure.path);
  if (failure.error) format(to, ",\"errno\":%d", failure.error);
  for (size_t at = 0; at < warned.used; at += strlen(warned.text + at) + 1)
    format(to, at ? ",%j" : ",\"warnings\":[%j", warned.text + at);
  if (warned.used) put(to, "]");
}

static void put_line(struct buffer *to, int json, const char *level, const char *message) {
  struct timespec now;
  BUFFER(time, 32);
  clock_gettime(CLOCK_REALTIME, &now);
  put_time(&time, now.tv_sec, -1);
  if (json) {
    format(to, "{\"level\":\"%s\",\"msg\":%j,\"time\":\"%s\"", level, message, time.data);
    if (!strcmp(level, "error")) put_failed(to);
    put(to, "}\n");
  } else {
    format(to, "time=\"%s\" level=%s msg=", time.data, level);
    format(to, needs_quotes(message) ? "%j\n" : "%s\n", message);
  }
}

// Replaces a byte that is not UTF-8 with U+FFFD, as Go's encoder does. If `visible`, escapes control characters, which
// would move the terminal's cursor or change its colours.
static void put_clean(struct buffer *to, const char *text, int visible) {
  static const char hex[] = "0123456789abcdef";
  for (const char *end = text + strlen(text); text < end;) {
    size_t size = utf8_character(text, end);
    unsigned char byte = (unsigned char)(size == 2 && *text == '\xc2' ? text[1] : *text);
    int moves = (byte < 32 && byte != '\n' && byte != '\t') || byte == 127 || (size == 2 && byte < 0xa0);
    if (!size)
      put(to, "\xef\xbf\xbd");
    else if (visible && moves)
      put_bytes(to, (const char[]){'\\', 'x', hex[byte >> 4], hex[byte & 15]}, 4);
    else
      put_bytes(to, text, size);
    text += size ? size : 1;
  }
}

// ---- a person at a terminal ----

int is_terminal(int fd) {
  char settings[64]; // the kernel's struct termios, which has 36 bytes
  return sys_ioctl(fd, TCGETS, settings) == 0;
}

// NO_COLOR (no-color.org) and TERM=dumb both turn colours off.
static int wants_colours(void) {
  const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
  return !(no && *no) && terminal && *terminal && strcmp(terminal, "dumb");
}

static void put_sentence(struct buffer *to, const char *level, const char *message) {
  int is_error = !strcmp(level, "error"), colours = wants_colours();
  format(to, "%socirt:%s %s", colours ? is_error ? "\x1b[1;31m" : "\x1b[1;33m" : "", colours ? "\x1b[0m" : "",
      is_error ? "" : "warning: ");
  put_clean(to, message, 1);
  put(to, "\n");
  if (is_error && logging.hint) format(to, "  %s\n", logging.hint);
}

// ---- a line ----

// One line of `level` to the descriptor `fd`: `log` is what --log names (null: standard error, without a log).
static void write_line(int fd, const char *log, int json, const char *level, const char *message) {
  size_t room = 18 * strlen(message) + (warned.used + LOG_LINE) * 6;
  struct buffer text = {arena_alloc(room), room, 0, 0}, line = {arena_alloc(room), room, 0, 0};
  if (!text.data || !line.data) {
    write_all(fd, message, strlen(message));
    return;
  }
  put_clean(&text, message, 0);
  if (log && fd != 2 && !log_is_file(log))
    put_datagram(&line, log, level, text.data);
  else if (fd == 2 && !json && is_terminal(2))
    put_sentence(&line, level, message);
  else
    put_line(&line, json, level, text.data);
  write_all(fd, line.data, line.used);
  arena_pop(&line);
  arena_pop(&text);
}

// Keeps a warning until the verb ends: 1, or 0 if it is to be written now.
static int keep_warning(const char *level, const char *message) {
  size_t size = strlen(message) + 1;
  if (!logging.json || !logging.path || warned.passed || strcmp(level, "warning")) return 0;
  if (size > sizeof warned.text - warned.used) return 0;
  memcpy(warned.text + warned.used, message, size);
  warned.used += size;
  return 1;
}

void log_line(const char *level, const char *message) {
  if (logging.only_errors && strcmp(level, "error")) return;
  if (logging.reader >= 0) {
    write_line(logging.reader, 0, 1, level, message);
    if (!logging.path) return;
  }
  if (strcmp(level, "debug")) trace_note(level, "", message);
  if (keep_warning(level, message)) return;
  CLOSING int fd = logging.path ? open_log() : -1;
  write_line(fd < 0 ? 2 : fd, logging.path, logging.json, level, message);
}

void warn(const char *pattern, ...) {
  BUFFER(message, LOG_LINE);
  va_list arguments;
  va_start(arguments, pattern);
  vformat(&message, pattern, arguments);
  va_end(arguments);
  log_line("warning", message.data);
}

void log_commit(void) {
  warned.passed = 1;
  for (size_t at = 0; at < warned.used; at += strlen(warned.text + at) + 1)
    log_line("warning", warned.text + at);
  warned.used = 0;
}

void end_verb(int status) {
  log_commit();
  trace_finish(0);
  sys_exit(status);
}

static void log_error(const char *text) {
  BUFFER(whole, LOG_LINE);
  format(&whole, "%s%s", logging.prefix ? logging.prefix : "", text);
  log_line("error", whole.data);
  if (!logging.path || logging.reader >= 0) return;
  if (is_terminal(2)) {
    write_line(2, 0, 0, "error", whole.data);
    return;
  }
  put(&whole, "\n");
  write_all(2, whole.data, whole.used);
}

void put_refusal(struct buffer *to, int error) {
  struct utsname kernel;
  int unknown = error == -ENOSYS || error == -EINVAL; // a call, or a flag of it: CLOSE_RANGE_CLOEXEC is of Linux 5.11
  if (unknown && !sys1(SYS_uname, &kernel) && strverscmp(kernel.release, OLDEST_KERNEL) < 0) {
    kernel.release[strspn(kernel.release, "0123456789.")] = 0;
    to->used = 0; // whatever such a kernel refuses, this is the reason
    format(to, "ocirt needs Linux " OLDEST_KERNEL " or newer; this is %s", kernel.release);
  } else if (error == -ENOSYS)
    put(to, " (this kernel has no such call, or a seccomp filter around the runtime refuses it)");
  if (error == -EPERM && sys_prctl(PR_GET_SECCOMP, 0, 0) == SECCOMP_MODE_FILTER)
    put(to, " (the runtime is under a seccomp filter, which may be what refuses it)");
}

void fail(const char *pattern, ...) {
  BUFFER(message, LOG_LINE);
  va_list arguments;
  va_start(arguments, pattern);
  int error = vformat(&message, pattern, arguments);
  va_end(arguments);
  put_refusal(&message, error < 0 ? error : -error);
  if (!failure.error) failure.error = error < 0 ? -error : error;
  log_error(message.data);
  trace_finish(-failure.error);
  sys_exit(logging.status);
}
