// create and run: a transaction. What a failure leaves is undone here, what a kill leaves by `delete --force`.
#include "verbs.h"

#include "run.h"

static int listen_for_start(struct container *c) {
  int fd = start_socket(c, SYS_bind);
  if (fd < 0) return fd;
  int error = (int)sys2(SYS_listen, fd, 1);
  if (error) { sys_close(fd); return error; }
  return fd;
}

static _Noreturn void undo(struct container *c, struct run *r, const char *message) {
  BUFFER(more, LOG_LINE);
  end_child(r);  // before its cgroups can go
  // It may have been for want of descriptors.
  for (unsigned i = 0; i < REGISTERS; i++) sys_close(r->fds[i]);
  sys_close(r->start_socket);
  if (destroy_container(c, (int)c->journal->hooks_run, &more)) log_line("warning", more.data);
  log_error(message);
  sys_exit(1);
}

static int has_terminal(const struct program *p) {
  const struct step *end = section_end(p, SECTION_INIT);
  for (const struct step *step = section_first(p, SECTION_INIT); step < end; step = next_step(step))
    if (step->code == STEP_MAKE_CONSOLE) return 1;
  return 0;
}

void verb_create(struct request *q, const struct program *program, int config_fd) {
  struct container c = {.program = *program, .root = q->flags[FLAG_ROOT], .id = q->arguments[0], .dir = -1, .pidfd = -1,
                        .notify_host = environment_variable(q, "NOTIFY_SOCKET"), .notify = -1};
  static struct run r;
  const struct step *failed;
  int run = q->verb == VERB_RUN, detach = q->flags[FLAG_DETACH] != 0, signals = -1;
  // For the container's program, not for hooks: Exec opens them again.
  for (int fd = 3; fd < 3 + preserved_fds(q); fd++) sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
  container_make(&c);
  fault_begin(native_verbs[q->verb].name);
  run_begin(&r, &c, SECTION_HOST);
  fault_point();
  BUFFER(text, LOG_LINE);
  int error = container_store(&c, config_fd);
  if (!error && (r.start_socket = listen_for_start(&c)) < 0) error = r.start_socket;
  if (error) {
    put(&text, "--root "); put(&text, c.root); put(&text, ": write the state of "); put(&text, c.id); put(&text, ": ");
    put_error(&text, error);
    undo(&c, &r, text.data);
  }
  fault_point();
  if (run && !detach) {
    if (!q->flags[FLAG_NO_SUBREAPER]) sys_prctl(36 /* PR_SET_CHILD_SUBREAPER */, 1, 0, 0);
    signals = relay_signals();
  }
  error = run_section(&r, &failed);
  if (error) {
    put_failure(&text, &r, failed, error);
    undo_helpers(&r, failed);
    undo(&c, &r, text.data);
  }
  sys_close(r.peer); sys_close(r.start_socket);
  r.peer = -1;
  if (!run) sys_exit(0);

  // Before the program can ask; whatever changes from here on is a signal for the relay.
  if (!detach && has_terminal(&c.program)) copy_window(r.console);
  error = start_container(&c, &text);
  if (error) {
    BUFFER(more, LOG_LINE);
    if (error != START_DESTROYED && destroy_container(&c, (int)c.journal->hooks_run, &more)) log_line("warning", more.data);
    log_error(text.data);
    sys_exit(1);
  }
  if (detach) sys_exit(0);
  sys_flock(c.dir, 8 /* LOCK_UN: other verbs act on a running container */);
  int status = relay(&c, c.pidfd, signals, has_terminal(&c.program) ? r.console : -1, !q->flags[FLAG_NO_SUBREAPER]);
  if (!q->flags[FLAG_KEEP]) {
    struct container again = {.root = c.root, .id = c.id};
    // Somebody else's delete may have come first.
    if (container_open(&again, 2 /* LOCK_EX */) == 0 && destroy_container(&again, 1, &text)) log_line("warning", text.data);
  }
  sys_exit(status);
}
