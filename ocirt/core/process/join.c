// Steps of exec and restore that enter an existing container, and of exec that run the process there.

#include "base/signals.h"
#include "base/terminal.h"
#include "base/wait.h"
#include "executor/child.h"
#include "executor/failure.h"
#include "executor/process_file.h"

int do_open_proc(struct run *r, const struct step_open_proc *s) {
  r->proc = sys_open(AT_FDCWD, "/proc", O_PATH | O_DIRECTORY, 0);
  return called(r, "open", r->proc);
}

static int ended(struct run *r) {
  return whole_failure(r, -ESRCH, "cannot exec in a stopped container: it has just ended");
}

int do_assert_running(struct run *r, const struct step_assert_running *s) {
  return is_readable(r->container->pidfd) ? ended(r) : 0;
}

int do_join_container(struct run *r, const struct step_join_container *s) {
  long error = sys2(SYS_setns, r->container->pidfd, NUMBER(flags));
  return error == -ESRCH ? ended(r) : called(r, "setns", error);
}

int do_open_container_root(struct run *r, const struct step_open_container_root *s) {
  CLOSING int fd = open_process_file(r->container->journal->pid, "root", O_PATH | O_DIRECTORY);
  // As long as the pidfd shows that the process lives, the pid still names it.
  if (is_readable(r->container->pidfd)) return ended(r);
  if (fd < 0) return failing(r, "open", fd);
  r->fds[s->fd] = release(&fd);
  return 0;
}

int do_enter_root(struct run *r, const struct step_enter_root *s) {
  int error = NUMBER(fd) < 0 ? 0 : called(r, "chroot", sys_chroot(r->fds[s->fd]));
  if (error) return error;
  r->rootfs = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  return called(r, "open", r->rootfs);
}

int do_release(struct run *r, const struct step_release *s) {
  // From now on the runtime forwards its signals to the process.
  if (s->relay) r->signals = relay_signals(0);
  if (s->relay && r->console >= 0) connect_terminal(r->console);
  struct message message = {.kind = MESSAGE_EVENT, .event = EVENT_COMMITTED};
  int fd, error = send_message(r->peer, &message, 0, 0);
  if (error && error != -EPIPE) return failing(r, "sendmsg", error);
  int got = await_message(r->container, r->peer, &message, &fd, 1);
  if (got < 0) return failing(r, "recvmsg", got);
  if (got && message.kind == MESSAGE_FAILURE) return pass_on(r, &message);
  if (got) return failing(r, "recvmsg", -EPROTO);
  // The socket has closed: by execve or by the end of the process. `phase` tells which.
  return __atomic_load_n(r->child.phase, __ATOMIC_SEQ_CST) == PHASE_RUNNING ? 0 : child_gone(r);
}
