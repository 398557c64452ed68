// Calls to systemd over D-Bus, and its answers.
#pragma once
#include "base/text.h"
#include "program/program.h"

// An array that is being encoded: the offsets of its length and of its first item.
struct array {
  size_t length_at, begin;
};

// The bytes to send: the authentication, then the messages. `out` is full, too, if the items make no message. `start`
// and `body` are places in the present message.
struct wire {
  struct buffer out;
  char data[32768];
  size_t start, body;
  uint32_t depth, serial;
  struct array arrays[8];
};

// A received message. `body` points into the connection's buffer, and is valid until the next message.
struct dbus_message {
  uint8_t type;
  uint32_t reply_to;
  const char *member, *error;
  const uint8_t *body;
  uint32_t size, at;
};
enum { DBUS_CALL = 1, DBUS_RETURN, DBUS_ERROR, DBUS_SIGNAL };

struct dbus {
  int fd;
  int64_t deadline;
  int greeted;
  uint32_t have, taken;
  uint8_t in[16384];
};

// Fills the wire with the greeting and the calls that the items make (ocirt/cgroups/dbus.py). w->serial is the number
// of the last call.
void dbus_calls(struct wire *w, const char *greeting, const struct texts *items, int pid);

// Connects and sends the wire: 0 or negative errno. The peer must be root or this user.
int dbus_open(struct dbus *d, const char *socket, const struct wire *w, int64_t seconds);
int dbus_next(struct dbus *d, struct dbus_message *m); // 0, or negative errno: -ETIMEDOUT at the deadline
const char *dbus_text(struct dbus_message *m); // the next string of the body, or null
uint32_t dbus_number(struct dbus_message *m);
