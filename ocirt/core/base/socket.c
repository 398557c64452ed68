#include "base/socket.h"

#include <string.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/text.h"
#include "steps.h"

// The control message that carries descriptors, aligned as the kernel wants it.
union rights {
  struct cmsghdr head;
  char space[CMSG_SPACE(PASSED * sizeof(int))];
};

int socket_pair(int type, int *ours, int *theirs) {
  int pair[2], error = (int)sys4(SYS_socketpair, AF_UNIX, type | SOCK_CLOEXEC, 0, pair);
  if (error < 0) return error;
  *ours = pair[0];
  *theirs = pair[1];
  return 0;
}

// If the path is too long for a socket address, the address names it through a descriptor in /proc/self/fd.
int unix_socket(int type, const char *path, size_t length, long call) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval limit = {PEER_SECONDS, 0};
  CLOSING int at = -1;
  BUFFER(link, 64);
  if (length > sizeof address.sun_path) {
    at = sys_open(AT_FDCWD, path, O_PATH, 0);
    if (at < 0) return at;
    format(&link, "/proc/self/fd/%d", at);
    path = link.data;
    length = link.used;
  }
  memcpy(address.sun_path, path, length);
  if (*path == '@') address.sun_path[0] = 0;
  CLOSING int fd = (int)sys3(SYS_socket, AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  if (call == SYS_connect) sys5(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int error = (int)sys3(call, fd, &address, offsetof(struct sockaddr_un, sun_path) + length);
  if (error < 0) return error == -EAGAIN ? -ETIMEDOUT : error;
  return release(&fd);
}

long send_rights(int socket, const void *data, size_t size, const int *fds, unsigned count) {
  union rights control;
  struct iovec part = {(void *)data, size};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
  if (count) {
    head.msg_control = control.space;
    head.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    control.head =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof *fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof *fds);
  }
  long n;
  do
    n = sys3(SYS_sendmsg, socket, &head, MSG_NOSIGNAL);
  while (n == -EINTR);
  return n;
}

long receive_rights(int socket, void *data, size_t size, int *fds, unsigned count) {
  union rights control;
  struct iovec part = {data, size};
  struct msghdr head = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = CMSG_LEN(count * sizeof *fds)};
  for (unsigned i = 0; i < count; i++)
    fds[i] = -1;
  long n;
  int resets = 0;
  // The kernel reports once that the peer closed without reading all that we sent. What the peer sent before can still
  // be read.
  do
    n = sys3(SYS_recvmsg, socket, &head, MSG_CMSG_CLOEXEC);
  while (n == -EINTR || (n == -ECONNRESET && !resets++));
  if (n <= 0) return n == -ECONNRESET ? 0 : n;
  struct cmsghdr *right = CMSG_FIRSTHDR(&head);
  if (right && right->cmsg_level == SOL_SOCKET && right->cmsg_type == SCM_RIGHTS)
    memcpy(fds, CMSG_DATA(right), right->cmsg_len - CMSG_LEN(0));
  return n;
}

// Sends one descriptor. `name` is the data: a message needs at least a byte of it.
int send_descriptor(int socket, const char *name, int fd) {
  long n = send_rights(socket, name, strlen(name), &fd, 1);
  return n < 0 ? (int)n : 0;
}
