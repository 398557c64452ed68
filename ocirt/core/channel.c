// Messages between the runtime and its child, over a SOCK_SEQPACKET pair.
#include "core.h"

#include <string.h>

// What the kernel takes, and gives, as the descriptors that go along.
union rights { struct cmsghdr head; char space[CMSG_SPACE(PASSED * sizeof(int))]; };

int send_message_with(int socket, const struct message *message, const int *fds, unsigned count) {
  union rights control;
  struct iovec part = {(void *)message, sizeof *message};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
  if (count) {
    head.msg_control = control.space;
    head.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof *fds), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof *fds);
  }
  long n;
  do n = sys3(SYS_sendmsg, socket, &head, MSG_NOSIGNAL); while (n == -EINTR);
  return n < 0 ? (int)n : 0;
}

int send_message(int socket, const struct message *message, int fd) { return send_message_with(socket, message, &fd, fd >= 0); }

long receive_any(int socket, struct msghdr *head) {
  long n;
  int resets = 0;
  // A reset, which the kernel tells once, is an end that had not read all of ours. What it said before is there still.
  do n = sys3(SYS_recvmsg, socket, head, MSG_CMSG_CLOEXEC); while (n == -EINTR || (n == -ECONNRESET && !resets++));
  return n == -ECONNRESET ? 0 : n;
}

int receive_message_with(int socket, struct message *message, int *fds, unsigned count) {
  union rights control;
  struct iovec part = {message, sizeof *message};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                        .msg_controllen = CMSG_LEN(count * sizeof *fds)};
  for (unsigned i = 0; i < count; i++) fds[i] = -1;
  long n = receive_any(socket, &head);
  if (n <= 0) return (int)n;
  struct cmsghdr *right = CMSG_FIRSTHDR(&head);
  if (right && right->cmsg_level == SOL_SOCKET && right->cmsg_type == SCM_RIGHTS)
    memcpy(fds, CMSG_DATA(right), right->cmsg_len - CMSG_LEN(0));
  if (n != sizeof *message) return -EBADMSG;
  message->call[sizeof message->call - 1] = message->detail[sizeof message->detail - 1] = 0;
  return 1;
}

int receive_message(int socket, struct message *message, int *fd) { return receive_message_with(socket, message, fd, 1); }
