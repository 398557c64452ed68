// Starting a created container: the runtime asks the waiting init, and waits for what comes of it.
#include "verbs/start.h"

#include <string.h>
#include <sys/file.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/socket.h"
#include "executor/channel.h"
#include "executor/child.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "executor/start_protocol.h"
#include "state/facts.h"
#include "verbs/lifecycle.h"

// Appends what init has said of its failure: 1 if a startContainer hook has failed, else 0. An init of another build
// numbers its steps differently, so that its message alone tells which kind of step failed.
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

// Claims the start and runs the section before it: the descriptor of the claim, or -1 with the error's text. The verb
// waits without the lock from then on, since hooks and the container's readiness may take any time; the claim keeps a
// second start away.
static int begin_start(struct run *r, struct buffer *text) {
  struct container *c = r->container;
  const struct step *failed;
  if (section_first(&c->program, SECTION_EXEC_PROGRAM) == section_end(&c->program, SECTION_EXEC_PROGRAM)) {
    put(text, "process: found nothing, expected an object: start needs a program to run");
    return -1;
  }
  CLOSING int claim = container_claim_start(c);
  if (claim == -EWOULDBLOCK)
    put(text, "start the container: another start is at work on it");
  else if (claim < 0)
    format(text, "start the container: lock the journal: %e", claim);
  if (claim < 0) return -1;
  int error = run_section(r, &failed);
  if (error) {
    put_failure(text, r, failed, error);
    return -1;
  }
  container_unlock(c);
  return release(&claim);
}

// Sends the request to init and waits for its answer: 1 if one came (kind 0: it was unreadable), 0 once init has
// executed the program or died, or -1 with the error's text. `socket`: as start_container's, used up.
static int ask_init(struct container *c, int socket, struct message *message, struct buffer *text) {
  CLOSING int fd = socket < 0 ? start_socket(c, SYS_connect) : socket;
  int error = fd, passed;
  struct start_request request = {.version = START_VERSION};
  if (fd >= 0) error = (int)sys4(SYS_sendto, fd, &request, sizeof request, MSG_NOSIGNAL);
  if (error < 0) {
    format(text, "start the container: %e", error);
    return -1;
  }
  fault_point();
  int got = c->ends < 0 ? 1 : wait_or_end(c, fd, -1);
  if (got == 1) got = receive_message(fd, message, &passed, 1);
  if (got != -EINTR) return got != 0;
  put(text, "start the container: ended by a signal to the runtime");
  return -1;
}

// A hook has failed and takes the container with it (runtime.md, "Lifecycle", steps 7 and 9).
static int destroy_started(struct container *c) {
  STATIC_BUFFER(text, LOG_LINE);
  int error = container_lock(c, LOCK_EX);
  // If the lock failed otherwise, another delete was first, and what has the same id now is another container.
  if (error == -ETIMEDOUT) put(&text, "another process has kept the container locked: it is not removed");
  if (error == -ETIMEDOUT || (!error && destroy_container(c, 1, &text))) log_line("warning", text.data);
  return START_DESTROYED;
}

int start_container(struct container *c, int socket, struct buffer *text) {
  struct run r;
  struct message message = {0};
  const struct step *failed;
  run_begin(&r, c, SECTION_BEFORE_START);
  CLOSING int claim = begin_start(&r, text);
  if (claim < 0) return -1;
  int answer = ask_init(c, socket, &message, text);
  if (answer < 0) return -1;
  r.section = SECTION_AFTER_START;
  if (answer && message.kind == MESSAGE_FAILURE) {
    if (put_report(text, &r, &message)) return destroy_started(c);
    kill_init(c);
    return -1;
  }
  if (answer || c->journal->phase != PHASE_RUNNING) {
    put(text, "the container's first process died before it executed its program");
    put_oom(text, &c->program, 0);
    return -1;
  }
  int error = run_section(&r, &failed);
  if (!error) return 0;
  put_failure(text, &r, failed, error);
  return destroy_started(c);
}
