// Steps of one or two calls: warnings, descriptors and sockets.

#include <string.h>

#include "base/log.h"
#include "base/socket.h"
#include "executor/child.h"

int do_nothing(struct run *r, const struct step_nothing *s) { return 0; }

int do_warn(struct run *r, const struct step_warn *s) {
  log_line("warning", TEXT(message));
  return 0;
}

int do_open_socket(struct run *r, const struct step_open_socket *s) {
  int fd = r->fds[s->fd] = unix_socket(SOCK_STREAM, TEXT(path), strlen(TEXT(path)), SYS_connect);
  return fd == -ETIMEDOUT ? no_answer(r, "connect") : called(r, "connect", fd);
}

int do_close(struct run *r, const struct step_close *s) {
  sys_close(release(&r->fds[s->fd]));
  return 0;
}

int do_send_pidfd(struct run *r, const struct step_send_pidfd *s) {
  return send_to_peer(r, r->fds[s->fd], "pidfd", r->child.pidfd);
}

int do_lend(struct run *r, const struct step_lend *s) {
  char answer;
  int socket = r->fds[s->fd], error = NUMBER(lent) < 0 ? 0 : send_to_peer(r, socket, "lent", r->fds[s->lent]);
  if (error || !s->waits) return error;
  if (r->container->ends >= 0 && wait_or_end(r->container, socket)) return ended_by_signal(r);
  long n = sys_read(socket, &answer, sizeof answer);
  return n > 0 ? 0 : failing_because(r, "read", n < 0 ? (int)n : -ECONNRESET, "the receiver has gone");
}
