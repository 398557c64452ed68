// Messages between the runtime and its child, over a SOCK_SEQPACKET pair.
#include "executor/channel.h"

#include <string.h>

#include "base/log.h"
#include "base/socket.h"

int send_message(int socket, const struct message *message, const int *fds, unsigned count) {
  size_t size = offsetof(struct message, detail) + strlen(message->detail) + 1;
  long n = send_rights(socket, message, size < LEAST_MESSAGE ? LEAST_MESSAGE : size, fds, count);
  return n < 0 ? (int)n : 0;
}

int receive_message(int socket, struct message *message, int *fds, unsigned count) {
  long n = receive_rights(socket, message, sizeof *message, fds, count);
  if (n <= 0) return (int)n;
  if (n < (long)LEAST_MESSAGE) return -EBADMSG;
  message->call[sizeof message->call - 1] = ((char *)message)[n - 1] = 0;
  if (message->kind == MESSAGE_LINE) log_line("debug", message->detail);
  return 1;
}
