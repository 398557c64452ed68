// Messages between the runtime and its child, over a SOCK_SEQPACKET pair.
#include "core.h"

#include <string.h>

int send_message(int socket, const struct message *message, int fd) {
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct iovec part = {(void *)message, sizeof *message};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    head.msg_control = control.space;
    head.msg_controllen = sizeof control.space;
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
  }
  long n;
  do n = sys3(SYS_sendmsg, socket, &head, MSG_NOSIGNAL); while (n == -EINTR);
  return n < 0 ? (int)n : 0;
}

int receive_message(int socket, struct message *message, int *fd) {
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct iovec part = {message, sizeof *message};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                        .msg_controllen = sizeof control.space};
  *fd = -1;
  long n;
  do n = sys3(SYS_recvmsg, socket, &head, MSG_CMSG_CLOEXEC); while (n == -EINTR);
  if (n == -ECONNRESET) return 0;
  if (n <= 0) return (int)n;
  struct cmsghdr *right = CMSG_FIRSTHDR(&head);
  if (right && right->cmsg_level == SOL_SOCKET && right->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(right), sizeof *fd);
  if (n != sizeof *message) return -EBADMSG;
  message->call[sizeof message->call - 1] = message->detail[sizeof message->detail - 1] = 0;
  return 1;
}
