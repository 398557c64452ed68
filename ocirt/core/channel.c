// Unix sockets: how they are opened, data with descriptors over them, and the messages between the runtime and its
// child over a SOCK_SEQPACKET pair.
#include "core.h"

#include <string.h>
#include <sys/un.h>

// What the kernel takes, and gives, as the descriptors that go along.
union rights {
  struct cmsghdr head;
  char space[CMSG_SPACE(PASSED * sizeof(int))];
};

// A path that is too long for a socket address is reached through a descriptor of what it names.
int unix_socket(int type, const char *path, size_t length, long call) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct {
    long seconds, microseconds;
  } limit = {PEER_SECONDS, 0};
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
  // A reset, which the kernel tells once, is an end that had not read all of ours. What it said before is there still.
  do
    n = sys3(SYS_recvmsg, socket, &head, MSG_CMSG_CLOEXEC);
  while (n == -EINTR || (n == -ECONNRESET && !resets++));
  if (n <= 0) return n == -ECONNRESET ? 0 : n;
  struct cmsghdr *right = CMSG_FIRSTHDR(&head);
  if (right && right->cmsg_level == SOL_SOCKET && right->cmsg_type == SCM_RIGHTS)
    memcpy(fds, CMSG_DATA(right), right->cmsg_len - CMSG_LEN(0));
  return n;
}

int send_message_with(int socket, const struct message *message, const int *fds, unsigned count) {
  size_t size = offsetof(struct message, detail) + strlen(message->detail) + 1;
  long n = send_rights(socket, message, size < LEAST_MESSAGE ? LEAST_MESSAGE : size, fds, count);
  return n < 0 ? (int)n : 0;
}

int send_message(int socket, const struct message *message, int fd) {
  return send_message_with(socket, message, &fd, fd >= 0);
}

int receive_message_with(int socket, struct message *message, int *fds, unsigned count) {
  long n = receive_rights(socket, message, sizeof *message, fds, count);
  if (n <= 0) return (int)n;
  if (n < (long)LEAST_MESSAGE) return -EBADMSG;
  message->call[sizeof message->call - 1] = ((char *)message)[n - 1] = 0;
  return 1;
}

int receive_message(int socket, struct message *message, int *fd) {
  return receive_message_with(socket, message, fd, 1);
}
