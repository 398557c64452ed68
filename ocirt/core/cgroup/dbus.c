// The D-Bus wire protocol, as far as a call to systemd and its answer need it (the D-Bus specification, "Message
// Protocol" and "Authentication Protocol"). What a message says is the plan's; here it gets its lengths and alignment.
#include "cgroup/dbus.h"

#include <poll.h>
#include <string.h>

#include "base/text.h"
#include "base/wait.h"

// ---- out ----

static void put_raw(struct wire *w, const void *data, size_t size) {
  if (size > sizeof w->data - w->used) {
    w->bad = 1;
    return;
  }
  memcpy(w->data + w->used, data, size);
  w->used += (uint32_t)size;
}

static void pad(struct wire *w, uint32_t alignment) {
  while ((w->used - w->start) % alignment && !w->bad)
    put_raw(w, "", 1);
}

static void put_u32(struct wire *w, uint32_t number) {
  pad(w, 4);
  put_raw(w, &number, sizeof number);
}

static void put_u64(struct wire *w, uint64_t number) {
  pad(w, 8);
  put_raw(w, &number, sizeof number);
}

static void put_string(struct wire *w, const char *text) {
  size_t size = strlen(text);
  put_u32(w, (uint32_t)size);
  put_raw(w, text, size + 1);
}

static void put_signature(struct wire *w, const char *text) {
  uint8_t size = (uint8_t)strlen(text);
  put_raw(w, &size, 1);
  put_raw(w, text, size + 1u);
}

// Decimal, up to 2^64 - 1; -1 is all ones.
static uint64_t number_of(struct wire *w, const char *text) {
  int negative = *text == '-';
  uint64_t number = 0;
  text += negative;
  if (!*text) w->bad = 1;
  for (; *text; text++) {
    uint64_t digit = (uint64_t)(*text - '0');
    if (digit > 9 || __builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, digit, &number))
      w->bad = 1;
    if (w->bad) return 0;
  }
  return negative ? -number : number;
}

// Items are a type each, and its value where it has one (ocirt/cgroups/dbus.py).
void dbus_marshal(struct wire *w, const struct texts *items, int pid) {
  for (uint32_t i = 0; i < items->count && !w->bad; i++) {
    const char *type = items->items[i], *value = "";
    if (!strchr("(]pa", *type)) {
      if (++i == items->count) {
        w->bad = 1;
        return;
      }
      value = items->items[i];
    }
    switch (*type) {
    case '(':
      pad(w, 8);
      break;
    case 's':
    case 'o':
      put_string(w, value);
      break;
    case 'g':
      put_signature(w, value);
      break;
    case 'y': {
      uint8_t byte = (uint8_t)number_of(w, value);
      put_raw(w, &byte, 1);
      break;
    }
    case 'b':
    case 'u':
      put_u32(w, (uint32_t)number_of(w, value));
      break;
    case 't':
      put_u64(w, number_of(w, value));
      break;
    case 'd': { // the first less the second, where that is not negative
      if (++i == items->count) {
        w->bad = 1;
        return;
      }
      uint64_t a = number_of(w, value), b = number_of(w, items->items[i]);
      put_u64(w, a < b ? 0 : a - b);
      break;
    }
    case 'p':
      put_u32(w, (uint32_t)pid);
      break;
    case 'a':
      if (w->depth == COUNT(w->arrays)) {
        w->bad = 1;
        return;
      }
      put_u32(w, 0);
      w->arrays[w->depth] = w->used - 4;
      pad(w, type[1] == '8' ? 8 : type[1] == '4' ? 4 : 1);
      // Padding before the first item is no part of the array: where that begins stands in for the length until the
      // end.
      if (!w->bad) memcpy(w->data + w->arrays[w->depth++], &w->used, 4);
      break;
    case ']': {
      uint32_t at, begun;
      if (!w->depth) {
        w->bad = 1;
        return;
      }
      at = w->arrays[--w->depth];
      memcpy(&begun, w->data + at, 4);
      begun = w->used - begun;
      memcpy(w->data + at, &begun, 4);
      break;
    }
    default:
      w->bad = 1;
    }
  }
}

void dbus_authenticate(struct wire *w, int64_t uid) {
  static const char hex[] = "0123456789abcdef";
  BUFFER(decimal, 24);
  put_number(&decimal, uid);
  put_raw(w, "\0AUTH EXTERNAL ", 15);
  for (const char *at = decimal.data; *at; at++) {
    put_raw(w, &hex[*at >> 4], 1);
    put_raw(w, &hex[*at & 15], 1);
  }
  put_raw(w, "\r\nBEGIN\r\n", 9);
}

static void put_field(struct wire *w, uint8_t code, const char *type, const char *value) {
  if (!value || !*value) return;
  pad(w, 8);
  put_raw(w, &code, 1);
  put_signature(w, type);
  if (*type == 'g')
    put_signature(w, value);
  else
    put_string(w, value);
}

uint32_t dbus_call(struct wire *w, const struct dbus_target *to, const char *member, int flags, const char *signature,
    const struct texts *items, int pid) {
  uint8_t head[4] = {'l', 1, (uint8_t)flags, 1};
  uint32_t length, at;
  w->start = w->used;
  w->depth = 0;
  put_raw(w, head, sizeof head);
  put_u32(w, 0);
  put_u32(w, ++w->serial);
  put_u32(w, 0);
  put_field(w, 1, "o", to->path);
  put_field(w, 2, "s", to->interface);
  put_field(w, 3, "s", member);
  put_field(w, 6, "s", to->destination);
  put_field(w, 8, "g", signature);
  length = w->used - w->start - 16;
  pad(w, 8);
  at = w->used;
  if (items) dbus_marshal(w, items, pid);
  if (w->bad) return 0;
  memcpy(w->data + w->start + 12, &length, 4);
  length = w->used - at;
  memcpy(w->data + w->start + 4, &length, 4);
  return w->serial;
}

// ---- in ----

int dbus_open(struct dbus *d, const char *socket, const struct wire *w, int64_t seconds) {
  struct {
    sa_family_t family;
    char path[108];
  } address = {.family = AF_UNIX};
  struct {
    long seconds, microseconds;
  } limit = {seconds, 0};
  struct {
    int pid;
    uint32_t uid, gid;
  } peer;
  int size = sizeof peer;
  if (strlen(socket) >= sizeof address.path) return -ENAMETOOLONG;
  if (w->bad) return -E2BIG;
  strcpy(address.path, socket);
  d->deadline = milliseconds() + seconds * 1000;
  d->have = d->taken = 0;
  d->greeted = 0;
  d->fd = (int)sys3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (d->fd < 0) return d->fd;
  sys5(SYS_setsockopt, d->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int error = (int)sys3(SYS_connect, d->fd, &address, sizeof address);
  if (!error) error = (int)sys5(SYS_getsockopt, d->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  if (!error && peer.uid && peer.uid != sys0(SYS_geteuid)) error = -EPERM;
  for (uint32_t sent = 0; !error && sent < w->used;) {
    long n = sys6(SYS_sendto, d->fd, SYS_L(w->data + sent), w->used - sent, MSG_NOSIGNAL, 0, 0);
    if (n > 0)
      sent += (uint32_t)n;
    else if (n != -EINTR)
      error = (int)n;
  }
  if (error == -EAGAIN) error = -ETIMEDOUT;
  if (error) {
    sys_close(d->fd);
    d->fd = -1;
  }
  return error;
}

// Drops what has been taken, and reads until there are `size` bytes.
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

// The server's line of the authentication: OK and a word.
static int greet(struct dbus *d) {
  int error = 0;
  uint8_t *end = 0;
  for (uint32_t size = 1; !error && !end && size < 512; size = d->have + 1) {
    error = fill(d, size);
    if (!error) end = memchr(d->in, '\n', d->have);
  }
  if (error) return error;
  if (!end || memcmp(d->in, "OK ", 3)) return -EACCES;
  d->taken = (uint32_t)(end + 1 - d->in);
  return 0;
}

static uint32_t u32_at(const uint8_t *data) {
  uint32_t number;
  memcpy(&number, data, sizeof number);
  return number;
}

// A string at *at of `data`, which ends at `size`; null where it is none.
static const char *string_at(const uint8_t *data, uint32_t size, uint32_t *at) {
  uint32_t start = (*at + 3) & ~3u;
  if (start > size || size - start < 5) return 0;
  uint32_t length = u32_at(data + start);
  if (length > size - start - 5 || data[start + 4 + length]) return 0;
  *at = start + 4 + length + 1;
  return (const char *)data + start + 4;
}

static int read_fields(const uint8_t *data, uint32_t end, struct dbus_message *m) {
  for (uint32_t at = 16; at < end; at = (at + 7) & ~7u) {
    if (end - at < 5 || data[at + 1] != 1 || data[at + 3]) return 0;
    uint8_t code = data[at], type = data[at + 2];
    const char *text = 0;
    at += 4;
    if (type == 's' || type == 'o') {
      if (!(text = string_at(data, end, &at))) return 0;
    } else if (type == 'u') {
      if (end - at < 4) return 0;
      if (code == 5) m->reply_to = u32_at(data + at);
      at += 4;
    } else if (type == 'g') {
      if (data[at] + 2u > end - at) return 0;
      at += data[at] + 2u;
    } else
      return 0;
    if (code == 3) m->member = text;
    if (code == 4) m->error = text;
  }
  return 1;
}

int dbus_next(struct dbus *d, struct dbus_message *m) {
  int error = d->greeted++ ? 0 : greet(d);
  for (;;) {
    if (error || (error = fill(d, 16))) return error;
    uint32_t body = u32_at(d->in + 4), fields = u32_at(d->in + 12);
    // The specification's greatest lengths; systemd is of this machine, and so is its byte order.
    if (d->in[0] != 'l' || fields > 1 << 26 || body > 1 << 27) return -EPROTO;
    uint32_t head = (16 + fields + 7) & ~7u, left = head + body;
    if (left <= sizeof d->in) {
      if ((error = fill(d, left))) return error;
      d->taken = left;
      *m = (struct dbus_message){.type = d->in[1], .member = "", .error = "", .body = d->in + head, .size = body};
      if (read_fields(d->in, 16 + fields, m)) return 0;
      continue;
    }
    // Other people's news, and too long to be an answer to us.
    while (left && !(error = fill(d, 1))) {
      d->taken = left < d->have ? left : d->have;
      left -= d->taken;
    }
  }
}

const char *dbus_text(struct dbus_message *m) {
  return string_at(m->body, m->size, &m->at);
}

uint32_t dbus_number(struct dbus_message *m) {
  uint32_t at = (m->at + 3) & ~3u;
  if (at > m->size || m->size - at < 4) return 0;
  m->at = at + 4;
  return u32_at(m->body + at);
}
