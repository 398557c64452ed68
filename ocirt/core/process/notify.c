// sd_notify(3): relays what the container sends to a socket of its own to the caller's NOTIFY_SOCKET. The runtime sends
// it, because the service manager accepts it from no other process.
#include "process/notify.h"

#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/socket.h"
#include "base/wait.h"
#include "executor/run.h"

#define BARRIER_MILLISECONDS 30000

int do_make_notify_directory(struct run *r, const struct step_make_notify_directory *s) {
  return called(r, "mkdir", sys_mkdir(r->container->dir, "notify", 0755));
}

int do_listen_notify(struct run *r, const struct step_listen_notify *s) {
  struct container *c = r->container;
  if (!c->notify_host) return 0;
  BUFFER(path, 64);
  format(&path, "/proc/self/fd/%d/notify/notify.sock", c->dir);
  sys_unlink(c->dir, "notify/notify.sock", 0);
  CLOSING int fd = unix_socket(SOCK_DGRAM, path.data, path.used, SYS_bind);
  int error = fd < 0 ? fd : (int)sys4(SYS_fchmodat, c->dir, "notify/notify.sock", 0777, 0);
  if (!error) c->notify = release(&fd);
  return called(r, "bind", error);
}

void readiness_begin(struct readiness *n, const struct container *c) {
  n->fd = c->notify_host ? c->notify : -1;
  n->events = POLLIN;
  n->until = n->sent = 0;
  n->host = n->barrier = -1;
}

// Reads one datagram. If it holds READY=, keeps that line: 1. Otherwise 0, or a negative errno.
static int read_readiness(struct readiness *n) {
  char text[sizeof n->text];
  long size = sys_read(n->fd, text, sizeof text - 1);
  if (size <= 0) return size == -EINTR || size == -EAGAIN ? 0 : (int)size;
  text[size] = 0;
  for (char *rest = text, *line; (line = next_line(&rest));) {
    if (strncmp(line, "READY=", 6)) continue;
    n->size = strlen(line) + 1;
    memcpy(n->text, line, n->size);
    n->text[n->size - 1] = '\n';
    return 1;
  }
  return 0;
}

// The manager closes the pipe that comes with BARRIER=1 once it has read all that was sent before.
static long send_barrier(struct readiness *n) {
  int ends[2], error = (int)sys2(SYS_pipe2, ends, O_CLOEXEC);
  if (error < 0) return error;
  CLOSING int ours = ends[0];
  CLOSING int theirs = ends[1];
  error = send_descriptor(n->host, "BARRIER=1", theirs);
  if (!error) n->barrier = release(&ours);
  return error;
}

static long send_next(struct readiness *n, int pid) {
  BUFFER(main_pid, 32);
  format(&main_pid, "MAINPID=%d\n", pid);
  if (n->sent == 0) return sys_write(n->host, n->text, n->size);
  if (n->sent == 1) return sys_write(n->host, main_pid.data, main_pid.used);
  return send_barrier(n);
}

static int finish(struct readiness *n, int result) {
  sys_close(n->host);
  sys_close(n->barrier);
  n->fd = n->host = n->barrier = -1;
  n->until = 0;
  return result;
}

int readiness_go_on(struct readiness *n, const struct container *c, int late) {
  if (late) {
    // A manager that does not know barriers never closes the pipe, so the runtime stops waiting.
    log_line(
        "warning", n->sent < 3 ? "NOTIFY_SOCKET: nobody reads what is sent" : "NOTIFY_SOCKET: no answer to BARRIER=1");
    return finish(n, 1);
  }
  if (n->barrier >= 0) return finish(n, 1);
  if (n->host < 0) {
    int ready = read_readiness(n);
    if (ready <= 0) return ready < 0 ? finish(n, ready) : 0;
    n->host = unix_socket(SOCK_DGRAM | SOCK_NONBLOCK, c->notify_host, strlen(c->notify_host), SYS_connect);
    if (n->host < 0) return finish(n, n->host);
    n->fd = n->host;
    n->events = POLLOUT;
    n->until = milliseconds() + BARRIER_MILLISECONDS;
  }
  for (; n->sent < 3; n->sent++) {
    long error = send_next(n, c->journal->pid);
    if (error == -EAGAIN) return 0;
    if (error < 0) return finish(n, (int)error);
  }
  n->fd = n->barrier;
  n->events = POLLIN;
  return 0;
}

int do_relay_notify(struct run *r, const struct step_relay_notify *s) {
  static struct readiness ready;
  struct container *c = r->container;
  readiness_begin(&ready, c);
  while (ready.fd >= 0) {
    struct pollfd fds[] = {{ready.fd, ready.events, 0}, {ready.host < 0 ? c->pidfd : -1, POLLIN, 0}};
    int64_t left = ready.until ? ready.until - milliseconds() : -1;
    long n = sys_ppoll(fds, COUNT(fds), ready.until && left < 0 ? 0 : left);
    if (n == -EINTR) continue;
    if (n < 0) return failing(r, "poll", (int)n);
    if (!fds[0].revents && fds[1].revents) return 0;
    int told = fds[0].revents || !n ? readiness_go_on(&ready, c, !n) : 0;
    if (told < 0) return failing(r, "NOTIFY_SOCKET", told);
  }
  return 0;
}
