// create, run and restore: a transaction. What a failure leaves is undone here, what a kill leaves by `delete --force`.
// Run and restore in the foreground, and create with --status-fd, stay until the container's end.
#include "verbs/create.h"

#include <sys/file.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/terminal.h"
#include "commands/helper.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "state/status_fd.h"
#include "verbs/foreground.h"
#include "verbs/lifecycle.h"

static int listen_for_start(struct container *c) {
  int fd = start_socket(c, SYS_bind);
  if (fd < 0) return fd;
  int error = (int)sys2(SYS_listen, fd, 1);
  if (error) {
    sys_close(fd);
    return error;
  }
  return fd;
}

static _Noreturn void undo(struct container *c, struct run *r, const char *message) {
  STATIC_BUFFER(more, LOG_LINE);
  end_child(r); // before its cgroups can go
  // It may have been for want of descriptors.
  for (unsigned i = 0; i < REGISTERS; i++)
    sys_close(r->fds[i]);
  sys_close(r->start_socket);
  if (destroy_container(c, (int)c->journal->hooks_run, &more)) log_line("warning", more.data);
  log_error(message);
  sys_exit(1);
}

void verb_create(struct request *q, const struct program *program, const void *config, size_t size) {
  struct container c = {.program = *program,
      .root = q->flags[FLAG_ROOT],
      .id = q->arguments[0],
      .dir = -1,
      .pidfd = -1,
      .notify_host = environment_variable(q, "NOTIFY_SOCKET"),
      .notify = -1,
      .ends = -1,
      .holes = q->holes};
  static struct run r;
  const struct step *failed;
  int restore = q->verb == VERB_RESTORE, run = q->verb == VERB_RUN || restore, detach = q->flags[FLAG_DETACH] != 0,
      signals = -1;
  int stay = run ? !detach : logging.reader >= 0;
  // For the container's program, not for hooks: Exec opens them again.
  for (int fd = 3; fd < 3 + preserved_fds(q); fd++)
    sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
  container_make(&c);
  fault_begin(native_verbs[q->verb].name);
  run_begin(&r, &c, SECTION_HOST);
  fault_point();
  STATIC_BUFFER(text, LOG_LINE);
  int error = container_store(&c, config, size);
  // `run` starts it over the socket that they have together.
  if (!error && !run && (r.start_socket = listen_for_start(&c)) < 0) error = r.start_socket;
  if (error) {
    put(&text, "--root ");
    put(&text, c.root);
    put(&text, ": write the state of ");
    put(&text, c.id);
    put(&text, ": ");
    put_error(&text, error);
    undo(&c, &r, text.data);
  }
  fault_point();
  if (stay) {
    if (!q->flags[FLAG_NO_SUBREAPER]) sys_prctl(36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0);
    signals = relay_signals(&c.ends);
  }
  error = run_section(&r, &failed);
  if (error) {
    put_failure(&text, &r, failed, error);
    c.ends = -1; // what has been asked to end is undone all the same
    undo_helpers(&r, failed);
    undo(&c, &r, text.data);
  }

  // Before the program can ask; whatever changes from here on is a signal for the relay.
  if (run && stay && r.console >= 0) connect_terminal(r.console);
  error = run && !restore ? start_container(&c, r.peer, &text) : 0;
  if (error) {
    STATIC_BUFFER(more, LOG_LINE);
    if (error != START_DESTROYED && !container_lock(&c, LOCK_EX) &&
        destroy_container(&c, (int)c.journal->hooks_run, &more))
      log_line("warning", more.data);
    log_error(text.data);
    sys_exit(1);
  }
  log_commit();
  if (stay) container_unlock(&c); // other verbs act on the container
  struct relayed init = {.container = &c,
      .pid = c.journal->pid,
      .pidfd = c.pidfd,
      .signals = signals,
      .master = r.console,
      .subreaper = !q->flags[FLAG_NO_SUBREAPER],
      .start_time = c.journal->start_time};
  if (!stay) {
    tell_begin(init.pid, init.start_time);
    sys_exit(0);
  }
  if (!run) {
    sys_close(r.peer);
    sys_close(r.start_socket);
  }
  int status = relay(&init);
  if (status < 0 || (run && !q->flags[FLAG_KEEP])) {
    // Somebody else's delete may have come first.
    error = container_lock(&c, LOCK_EX);
    if (error == -ETIMEDOUT)
      format(&text, "container %s is not deleted: another process has kept it locked for %d s", c.id, LOCK_SECONDS);
    if (error == -ETIMEDOUT || (!error && destroy_container(&c, 1, &text))) log_line("warning", text.data);
  }
  sys_exit(status < 0 ? 255 : status);
}
