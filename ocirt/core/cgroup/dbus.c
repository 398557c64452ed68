// The parts of the D-Bus wire protocol that calls to systemd need (the D-Bus specification, "Message Protocol" and
// "Authentication Protocol"). The plan has the contents of all messages; this file adds lengths, alignment and numbers.
#include "cgroup/dbus.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/socket.h"
#include "base/wait.h"

enum { FIELD_MEMBER = 3, FIELD_ERROR_NAME, FIELD_REPLY_SERIAL };

// ---- out ----

static void pad(struct wire *w, uint32_t alignment) {
  while ((w->out.used - w->start) % alignment && !w->out.full)
    put_bytes(&w->out, "", 1);
}

// A number of `size` bytes, little endian as this processor has it.
static void put_integer(struct wire *w, uint32_t size, uint64_t number) {
  pad(w, size);
  put_bytes(&w->out, (const char *)&number, size);
}

static void put_u32(struct wire *w, uint32_t number) { put_integer(w, sizeof number, number); }

// A text and its NUL, after its length in `size` bytes.
static void put_text(struct wire *w, uint32_t size, const char *text) {
  size_t length = strlen(text);
  put_integer(w, size, length);
  put_bytes(&w->out, text, length + 1);
}

// The items of all messages, and the next one to encode.
struct items {
  const struct texts *texts;
  uint32_t taken;
};

static const char *take_item(struct wire *w, struct items *items) {
  if (items->taken < items->texts->count) return items->texts->items[items->taken++];
  w->out.full = 1;
  return "";
}

// Parses a decimal number up to 2^64 - 1. -1 gives 2^64 - 1.
static uint64_t take_number(struct wire *w, struct items *items) {
  const char *text = take_item(w, items);
  char *end;
  errno = 0;
  uint64_t number = strtoull(text, &end, 10);
  if (end == text || *end || errno) w->out.full = 1;
  return number;
}

// The padding before the first item does not count in the array's length.
static void begin_array(struct wire *w, uint32_t alignment) {
  if (w->depth == COUNT(w->arrays)) {
    w->out.full = 1;
    return;
  }
  struct array *array = &w->arrays[w->depth++];
  put_u32(w, 0);
  array->length_at = w->out.used - 4;
  pad(w, alignment);
  array->begin = w->out.used;
}

static void end_array(struct wire *w) {
  if (!w->depth) w->out.full = 1;
  if (w->out.full) return;
  const struct array *array = &w->arrays[--w->depth];
  uint32_t length = (uint32_t)(w->out.used - array->begin);
  memcpy(w->data + array->length_at, &length, sizeof length);
}

// Writes the size of the present message's body where its header has it.
static void end_message(struct wire *w) {
  uint32_t size = (uint32_t)(w->out.used - w->body);
  if (w->serial && !w->out.full) memcpy(w->data + w->start + 4, &size, sizeof size);
}

static void begin_message(struct wire *w, uint8_t flags) {
  const char head[] = {'l', DBUS_CALL, (char)flags, 1};
  end_message(w);
  w->start = w->out.used;
  put_bytes(&w->out, head, sizeof head);
  put_u32(w, 0);
  put_u32(w, ++w->serial);
}

// Encodes one item: a type, and its value if it has one (ocirt/cgroups/dbus.py).
static void put_item(struct wire *w, struct items *items, int pid) {
  const char *type = take_item(w, items);
  switch (*type) {
  case 'm':
    begin_message(w, (uint8_t)take_number(w, items));
    break;
  case 'h':
  case '(':
    pad(w, 8);
    if (*type == 'h') w->body = w->out.used;
    break;
  case 'a':
    begin_array(w, type[1] == '8' ? 8 : type[1] == '4' ? 4 : 1);
    break;
  case ']':
    end_array(w);
    break;
  case 's':
  case 'g':
    put_text(w, *type == 's' ? 4 : 1, take_item(w, items));
    break;
  case 'y':
  case 'b':
  case 'u':
  case 't':
    put_integer(w, *type == 'y' ? 1 : *type == 't' ? 8 : 4, take_number(w, items));
    break;
  case 'd': { // the first minus the second, at least 0
    uint64_t a = take_number(w, items), b = take_number(w, items);
    put_integer(w, 8, a < b ? 0 : a - b);
    break;
  }
  case 'p':
    put_u32(w, (uint32_t)pid);
    break;
  default:
    w->out.full = 1;
  }
}

void dbus_calls(struct wire *w, const char *greeting, const struct texts *items, int pid) {
  struct items left = {items, 0};
  w->out = (struct buffer){w->data, sizeof w->data, 0, 0};
  w->depth = w->serial = 0;
  put_bytes(&w->out, "", 1); // the protocol's first byte
  put(&w->out, greeting);
  while (left.taken < items->count && !w->out.full)
    put_item(w, &left, pid);
  end_message(w);
}

// ---- in ----

// The peer must be root or this user.
static int check_peer(int socket) {
  struct ucred peer;
  int size = sizeof peer, error = (int)sys5(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  return !error && peer.uid && peer.uid != sys0(SYS_geteuid) ? -EPERM : error;
}

int dbus_open(struct dbus *d, const char *socket, const struct wire *w, int64_t seconds) {
  if (w->out.full) return -E2BIG;
  CLOSING int fd = unix_socket(SOCK_STREAM, socket, strlen(socket), SYS_connect);
  if (fd < 0) return fd;
  int error = check_peer(fd);
  for (size_t sent = 0; !error && sent < w->out.used;) {
    long n = send_rights(fd, w->data + sent, w->out.used - sent, 0, 0);
    if (n < 0) error = n == -EAGAIN ? -ETIMEDOUT : (int)n;
    sent += n > 0 ? (size_t)n : 0;
  }
  if (error) return error;
  d->deadline = milliseconds() + seconds * 1000;
  d->have = d->taken = 0;
  d->greeted = 0;
  d->fd = release(&fd);
  return 0;
}

// Drops the bytes that have been taken, and reads until the buffer holds `size`.
static int fill(struct dbus *d, uint32_t size) {
  memmove(d->in, d->in + d->taken, d->have - d->taken);
  d->have -= d->taken;
  d->taken = 0;
  while (d->have < size) {
    int64_t left = d->deadline - milliseconds();
    if (left <= 0 || sys_poll(d->fd, POLLIN, (int)left) <= 0) return -ETIMEDOUT;
    long n = sys_read(d->fd, d->in + d->have, sizeof d->in - d->have);
    if (n == -EINTR) continue;
    if (n <= 0) return n ? (int)n : -ECONNRESET;
    d->have += (uint32_t)n;
  }
  return 0;
}

// Reads the server's answer to the authentication: a line of OK and a word.
static int greet(struct dbus *d) {
  uint8_t *end = 0;
  while (!end && d->have < 512) {
    int error = fill(d, d->have + 1);
    if (error) return error;
    end = memchr(d->in, '\n', d->have);
  }
  if (!end || memcmp(d->in, "OK ", 3)) return -EACCES;
  d->taken = (uint32_t)(end + 1 - d->in);
  return 0;
}

static uint32_t u32_at(const uint8_t *data) {
  uint32_t number;
  memcpy(&number, data, sizeof number);
  return number;
}

// The string at *at of `data`, which ends at `size`; null if there is none.
static const char *string_at(const uint8_t *data, uint32_t size, uint32_t *at) {
  uint32_t start = (*at + 3) & ~3u;
  if (start > size || size - start < 5) return 0;
  uint32_t length = u32_at(data + start);
  if (length > size - start - 5 || data[start + 4 + length]) return 0;
  *at = start + 4 + length + 1;
  return (const char *)data + start + 4;
}

// Reads the header field at *at of `data`, which ends at `end`: its code, and its value if callers need it.
static int read_field(const uint8_t *data, uint32_t end, uint32_t *at, struct dbus_message *m) {
  if (end - *at < 6 || data[*at + 1] != 1 || data[*at + 3]) return 0; // code, then a signature of one type
  uint8_t code = data[*at], type = data[*at + 2];
  *at += 4;
  if (type == 'u') {
    if (end - *at < 4) return 0;
    if (code == FIELD_REPLY_SERIAL) m->reply_to = u32_at(data + *at);
    *at += 4;
    return 1;
  }
  if (type == 'g') {
    *at += data[*at] + 2u;
    return *at <= end;
  }
  const char *text = type == 's' || type == 'o' ? string_at(data, end, at) : 0;
  if (code == FIELD_MEMBER && text) m->member = text;
  if (code == FIELD_ERROR_NAME && text) m->error = text;
  return text != 0;
}

static int read_fields(const uint8_t *data, uint32_t end, struct dbus_message *m) {
  for (uint32_t at = 16; at < end; at = (at + 7) & ~7u)
    if (!read_field(data, end, &at, m)) return 0;
  return 1;
}

int dbus_next(struct dbus *d, struct dbus_message *m) {
  int error = d->greeted++ ? 0 : greet(d);
  for (;;) {
    if (error || (error = fill(d, 16))) return error;
    uint32_t body = u32_at(d->in + 4), fields = u32_at(d->in + 12);
    // The specification's limits, and little endian: systemd runs on this machine and has its byte order.
    if (d->in[0] != 'l' || fields > 1 << 26 || body > 1 << 27) return -EPROTO;
    uint32_t head = (16 + fields + 7) & ~7u, left = head + body;
    if (left <= sizeof d->in) {
      if ((error = fill(d, left))) return error;
      d->taken = left;
      *m = (struct dbus_message){.type = d->in[1], .member = "", .error = "", .body = d->in + head, .size = body};
      if (read_fields(d->in, 16 + fields, m)) return 0;
      continue;
    }
    // Skips a message that is too long to be an answer: a signal for others.
    while (left && !(error = fill(d, 1))) {
      d->taken = left < d->have ? left : d->have;
      left -= d->taken;
    }
  }
}

const char *dbus_text(struct dbus_message *m) { return string_at(m->body, m->size, &m->at); }

uint32_t dbus_number(struct dbus_message *m) {
  uint32_t at = (m->at + 3) & ~3u;
  if (at > m->size || m->size - at < 4) return 0;
  m->at = at + 4;
  return u32_at(m->body + at);
}
