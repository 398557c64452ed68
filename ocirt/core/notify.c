// sd_notify(3): what the container says on a socket of its own goes on to the caller's NOTIFY_SOCKET, from this process:
// the service manager listens to no other.
#include "core.h"

#include <poll.h>
#include <string.h>
#include <sys/un.h>

#include "notify.h"
#include "run.h"

#define BARRIER_MILLISECONDS 30000

int do_make_notify_directory(struct run *r, const struct step_make_notify_directory *s) {
  (void)s;
  int error = sys_mkdir(r->container->dir, "notify", 0755);
  return error < 0 ? failing(r, "mkdir", error) : 0;
}

int do_listen_notify(struct run *r, const struct step_listen_notify *s) {
  (void)s;
  struct container *c = r->container;
  if (!c->notify_host) return 0;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct buffer path = {address.sun_path, sizeof address.sun_path, 0, 0};
  put(&path, "/proc/self/fd/"); put_number(&path, c->dir); put(&path, "/notify/notify.sock");
  sys_unlink(c->dir, "notify/notify.sock", 0);
  int fd = (int)sys3(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return failing(r, "socket", fd);
  int error = (int)sys3(SYS_bind, fd, &address, sizeof address);
  if (!error) error = (int)sys4(SYS_fchmodat, c->dir, "notify/notify.sock", 0777, 0);
  if (error < 0) { sys_close(fd); return failing(r, "bind", error); }
  c->notify = fd;
  return 0;
}

static int connect_host(const char *host) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(host);
  if (length >= sizeof address.sun_path) return -ENAMETOOLONG;
  memcpy(address.sun_path, host, length);
  if (*host == '@') address.sun_path[0] = 0;  // an abstract name
  int fd = (int)sys3(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  int error = (int)sys3(SYS_connect, fd, &address, offsetof(struct sockaddr_un, sun_path) + length + (*host != '@'));
  if (error < 0) { sys_close(fd); return error; }
  return fd;
}

// The manager closes the pipe that comes with BARRIER=1 once it has read all that was sent before.
static int wait_for_barrier(int host) {
  int ends[2];
  int error = (int)sys2(SYS_pipe2, ends, O_CLOEXEC);
  if (error < 0) return error;
  error = send_descriptor(host, "BARRIER=1", ends[1]);
  sys_close(ends[1]);
  // One that knows no barriers never closes it; then half a minute was enough.
  if (!error && sys_poll(ends[0], POLLIN, BARRIER_MILLISECONDS) == 0) log_line("warning", "NOTIFY_SOCKET: no answer to BARRIER=1");
  sys_close(ends[0]);
  return error;
}

static int tell_host(struct container *c, const char *ready, size_t size) {
  BUFFER(main_pid, 32);
  put(&main_pid, "MAINPID="); put_number(&main_pid, c->journal->pid); put(&main_pid, "\n");
  int host = connect_host(c->notify_host);
  long n = host;
  if (n >= 0) n = sys_write(host, ready, size);
  if (n >= 0) n = sys_write(host, main_pid.data, main_pid.used);
  if (n >= 0) n = wait_for_barrier(host);
  sys_close(host);
  return n < 0 ? (int)n : 0;
}

int pass_readiness(struct container *c) {
  char text[4096];
  long n = sys_read(c->notify, text, sizeof text - 1);
  if (n <= 0) return n == 0 || n == -EINTR || n == -EAGAIN ? 0 : (int)n;
  text[n] = 0;
  for (char *line = text; *line; ) {
    char *end = line + strcspn(line, "\n");
    int last = !*end;
    if (!strncmp(line, "READY=", 6)) {
      *end = '\n';
      int error = tell_host(c, line, (size_t)(end - line) + 1);
      return error ? error : 1;
    }
    line = end + !last;
  }
  return 0;
}

int do_relay_notify(struct run *r, const struct step_relay_notify *s) {
  (void)s;
  struct container *c = r->container;
  if (c->notify < 0 || !c->notify_host) return 0;
  for (;;) {
    struct pollfd fds[] = {{c->notify, POLLIN, 0}, {c->pidfd, POLLIN, 0}};
    long n = sys3(SYS_poll, fds, COUNT(fds), -1);
    if (n == -EINTR) continue;
    if (n < 0) return failing(r, "poll", (int)n);
    if (fds[0].revents) {
      int told = pass_readiness(c);
      if (told < 0) return failing(r, "NOTIFY_SOCKET", told);
      if (told) return 0;
    } else if (fds[1].revents) return 0;
  }
}
