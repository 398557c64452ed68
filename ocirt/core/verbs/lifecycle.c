// What the verbs share: opening a container, starting it, ending it, undoing what create did.
#include "verbs/lifecycle.h"

#include <poll.h>
#include <string.h>
#include <sys/file.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/processes.h"
#include "base/socket.h"
#include "base/wait.h"
#include "executor/child.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "executor/start_protocol.h"
#include "launch/python.h"
#include "state/facts.h"

void name_container(struct container *c, struct request *q) {
  c->root = q->flags[FLAG_ROOT];
  c->id = q->arguments[0];
  if (!*c->id || strchr(c->id, '/') || !strcmp(c->id, ".") || !strcmp(c->id, ".."))
    fail("invalid container id: found \"%s\", expected letters, digits and _ + . -", c->id);
}

int end_process(int pid, uint64_t start_time) {
  CLOSING int pidfd = pid > 0 && pid != sys0(SYS_getpid) ? sys_pidfd_open(pid) : -1;
  // The pidfd is open: the pid cannot change hands between this look and the signal.
  if (pidfd < 0 || start_time_of(pid) != start_time) return 0;
  sys_pidfd_signal(pidfd, SIGKILL);
  sys_poll(pidfd, POLLIN, 60000);
  return 1;
}

// delete --force: whoever has had the lock for too long is ended. What it leaves half done delete finds in the journal,
// as after any other kill.
static int take_over(struct container *c, int lock) {
  int holder = c->journal ? c->journal->holder : 0;
  if (!end_process(holder, holder ? c->journal->holder_start_time : 0)) return -ETIMEDOUT;
  BUFFER(text, 512);
  format(&text, "container %s: ended process %d, which had kept it locked for %d s", c->id, holder, LOCK_SECONDS);
  log_line("warning", text.data);
  c->taken_over = 1;
  return container_open(c, lock);
}

static _Noreturn void fail_locked(const struct container *c) {
  int holder = c->journal ? c->journal->holder : 0;
  if (holder)
    fail("container %s: process %d has kept it locked for %d s: wait for it, or have \"delete --force\" end both",
        c->id, holder, LOCK_SECONDS);
  fail("container %s: a process that the journal does not name has kept it locked for %d s", c->id, LOCK_SECONDS);
}

void fail_missing(const struct container *c) {
  logging.hint = "ocirt list shows the containers under the root directory, which --root names";
  fail("container does not exist: %s", c->id);
}

void need_container(struct container *c, struct request *q, int lock, int program_fd) {
  name_container(c, q);
  int error = container_open(c, lock);
  if (error == -ETIMEDOUT && q->flags[FLAG_FORCE]) error = take_over(c, lock);
  if (error == -ETIMEDOUT) fail_locked(c);
  // `delete --force` asks for the end of it, and has that.
  if (error == -ENOENT && q->flags[FLAG_FORCE]) sys_exit(0);
  if (error == -ENOENT) fail_missing(c);
  if (error < 0) fail(c->dir < 0 ? "--root %s: open %s: %e" : "--root %s: lock %s: flock: %e", c->root, c->id, error);
  if (program_fd >= 0) {
    if (program_load(&c->program, program_fd)) fail("the program for %s was compiled by another build", c->id);
  } else if (c->foreign) {
    start_python(q, "@recompile", -1, 0);
  }
}

int kill_init(struct container *c) {
  if (!container_hold(c)) return 0;
  int refused = sys_pidfd_signal(c->pidfd, SIGKILL);
  if (refused && refused != -ESRCH) return refused;
  if (sys_poll(c->pidfd, POLLIN, 100) == 1) return 0;
  // It may be in uninterruptible sleep: others shall not have to wait for us meanwhile.
  container_unlock(c);
  int ended = sys_poll(c->pidfd, POLLIN, END_SECONDS * 1000) == 1, error = container_relock(c);
  return error || ended ? error : -ETIMEDOUT;
}

int do_kill_init(struct run *r, const struct step_kill_init *s) {
  (void)s;
  int error = kill_init(r->container);
  if (error != -ETIMEDOUT) return error ? failing(r, "pidfd_send_signal", error) : 0;
  format(&r->detail, "the container's first process has not ended for %d s since SIGKILL:", END_SECONDS);
  put_process(&r->detail, r->container->journal->pid, " ");
  put(&r->detail, "; it may wait for a file system or a device that does not answer, or for the parent of one in its "
                  "pid namespace");
  return failing(r, "", error);
}

void end_child(struct run *r) {
  int status;
  sys_close(r->peer);
  if (r->child.pidfd < 0) return;
  sys_pidfd_signal(r->child.pidfd, 9);
  wait_exit(r->child.pidfd, &status);
}

int start_socket(struct container *c, long call) {
  // Through the directory's descriptor: ids and roots may be longer than a socket address.
  BUFFER(path, 64);
  format(&path, "/proc/self/fd/%d/start.sock", c->dir);
  return unix_socket(SOCK_SEQPACKET, path.data, path.used, call);
}

// What init has said of its failure. Returns whether it was a startContainer hook's. An init of another build has
// numbers of its own for its steps, so it is by what it says that such a one is known.
static int put_report(struct buffer *text, struct run *r, const struct message *message) {
  const struct program *p = r->program;
  const char *call = strcmp(message->call, "-") ? message->call : 0;
  if (!r->container->foreign && message->step < p->header->steps.size) {
    const struct step *step = (const struct step *)(p->steps + message->step);
    r->call = call;
    put(&r->detail, message->detail);
    put_failure(text, r, step, message->error);
    return step->code == STEP_RUN_HOOK;
  }
  if (call && !*call) {
    put(text, message->detail);
    return !strncmp(message->detail, "hooks.", 6);
  }
  format(text, "start the container: %s%s%e%s%s", call ? call : "", call ? ": " : "", message->error,
      *message->detail ? ": " : "", message->detail);
  return 0;
}

int start_container(struct container *c, int socket, struct buffer *text) {
  struct run r;
  const struct step *failed;
  run_begin(&r, c, SECTION_BEFORE_START);
  if (section_first(&c->program, SECTION_EXEC_PROGRAM) == section_end(&c->program, SECTION_EXEC_PROGRAM)) {
    put(text, "process: found nothing, expected an object: start needs a program to run");
    return -1;
  }
  // From here on the container's own doing, hooks and its readiness are waited for, without the lock: for as long as
  // another start cannot come between, which this says.
  CLOSING int claim = container_claim_start(c);
  if (claim < 0) {
    put(text, "start the container: ");
    if (claim == -EWOULDBLOCK)
      put(text, "another start is at work on it");
    else
      format(text, "lock the journal: %e", claim);
    return -1;
  }
  int error = run_section(&r, &failed);
  if (error) {
    put_failure(text, &r, failed, error);
    return -1;
  }
  container_unlock(c);
  r.section = SECTION_AFTER_START;
  int fd = socket < 0 ? start_socket(c, SYS_connect) : socket;
  error = fd;
  struct start_request request = {.version = START_VERSION};
  if (fd >= 0) error = (int)sys4(SYS_sendto, fd, &request, sizeof request, MSG_NOSIGNAL);
  if (error < 0) {
    format(text, "start the container: %e", error);
    sys_close(fd);
    return -1;
  }
  fault_point();
  struct message message;
  int passed, got = c->ends < 0 ? 1 : wait_or_end(c, fd, -1);
  if (got == 1) got = receive_message(fd, &message, &passed);
  sys_close(fd);
  if (got == -EINTR) {
    put(text, "start the container: ended by a signal to the runtime");
    return -1;
  }
  if (got == 1 && message.kind == MESSAGE_FAILURE) {
    // A startContainer hook that failed takes the container with it (runtime.md, lifecycle step 7).
    if (put_report(text, &r, &message)) goto destroy;
    kill_init(c);
    return -1;
  }
  if (got || c->journal->phase != PHASE_RUNNING) {
    put(text, "the container's first process died before it executed its program");
    put_oom(text, &c->program, 0);
    return -1;
  }
  error = run_section(&r, &failed);
  if (!error) return 0;
  put_failure(text, &r, failed, error);
destroy:;
  STATIC_BUFFER(more, LOG_LINE);
  error = container_lock(c, LOCK_EX);
  if (error == -ETIMEDOUT) put(&more, "another process has kept the container locked: it is not removed");
  // Somebody else's delete may have come first; what has the same id then is another container.
  else if (error || !destroy_container(c, 1, &more))
    return START_DESTROYED;
  log_line("warning", more.data);
  return START_DESTROYED;
}

int destroy_container(struct container *c, int hooks, struct buffer *text) {
  struct run r;
  const struct step *failed;
  int error = 0;
  c->ends = -1; // what has to be done to the end
  fault_point();
  // Cut off before its program was stored, it has no process either.
  if (c->program.base) {
    run_begin(&r, c, SECTION_DELETE);
    r.hooks = hooks;
    error = run_section(&r, &failed);
    if (error == DELETED_MEANWHILE) return 0;
    if (error) {
      put_failure(text, &r, failed, error);
      return -1;
    }
  }
  error = container_remove(c);
  if (error) format(text, "--root %s: remove the state directory of %s: %e", c->root, c->id, error);
  return error ? -1 : 0;
}
