#include "verbs/start.h"

#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/need.h"
#include "base/socket.h"
#include "base/trace.h"
#include "executor/channel.h"
#include "executor/child.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "executor/start_protocol.h"
#include "launch/documents.h"
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
  if (!section_count(&c->program, SECTION_EXEC_PROGRAM)) {
    put(text, "process: found nothing, expected an object: start needs a program to run");
    return -1;
  }
  CLOSING int claim = container_claim_start(c);
  if (claim == -EWOULDBLOCK)
    put(text, "start the container: another start is at work on it");
  else if (claim < 0)
    format(text, "start the container: lock the journal: %e", claim);
  if (claim < 0) return -1;
  int error = run_section(r);
  if (error) return put_failure(text, r, r->step, error);
  container_unlock(c);
  return release(&claim);
}

int is_late(const struct container *c) {
  return c->program.base && section_count(&c->program, SECTION_EXEC_PROGRAM) &&
         section_first(&c->program, SECTION_EXEC_PROGRAM)->code == STEP_BIND_LATE;
}

static void put_text(struct buffer *to, const char *text) { put_bytes(to, text, strlen(text) + 1); }

static struct late pack(const struct request *q, const char *cwd) {
  struct late late = {.fds = {0, 1, 2, -1}};
  size_t size = strlen(cwd) + 1;
  for (char **word = q->command; *word; word++)
    size = plus(size, strlen(*word) + 1);
  for (size_t i = 0; i < q->n_values; i++)
    size = plus(size, strlen(q->values[i].value) + 1);
  struct buffer texts = arena_buffer(size);
  put_text(&texts, cwd);
  while (q->command[late.values.words])
    put_text(&texts, q->command[late.values.words++]);
  for (size_t i = 0; i < q->n_values; i++)
    put_text(&texts, q->values[i].value);
  late.fds[LATE_TEXTS] = sealed_memfd((struct span){texts.data, (uint32_t)texts.used});
  return late;
}

struct late late_values(const struct container *c, const struct request *q) {
  const char *cwd = q->flags[FLAG_CWD];
  int has_command = q->command && *q->command;
  if (!is_late(c)) {
    if (has_command || cwd || q->n_values)
      fail("cannot start a container with a command, --cwd or --env unless \"create --late\" has made it: %s", c->id);
    return (struct late){.fds[LATE_TEXTS] = -1};
  }
  if (!has_command) fail("cannot start a late container without a command, expected \"start %s -- COMMAND\"", c->id);
  if (cwd && *cwd != '/') fail("--cwd: found %j, expected an absolute path", cwd);
  for (size_t i = 0; i < q->n_values; i++)
    if (*q->values[i].value == '=' || !strchr(q->values[i].value, '='))
      fail("--env %j: expected NAME=VALUE", q->values[i].value);
  return pack(q, cwd ? cwd : "");
}

// Sends the request to init and waits for its answer: 1 if one came (kind 0: it was unreadable), 0 once init has
// executed the program or died, or -1 with the error's text. `socket`: as start_container's, used up.
static int ask_init(
    struct container *c, const struct late *late, int socket, struct message *message, struct buffer *text) {
  CLOSING int fd = socket < 0 ? start_socket(c, SYS_connect) : socket;
  int error = fd, passed;
  struct start_request request = {.version = START_VERSION};
  request.told = record.page << 1 | (logging.debug != 0);
  // A `run` shares its record with init already.
  if (fd >= 0) error = (int)send_rights(fd, &request, sizeof request, &record.fd, record.fd >= 0 && socket < 0);
  fault_point();
  if (error >= 0 && late && late->fds[LATE_TEXTS] >= 0)
    error = (int)send_rights(fd, &late->values, sizeof late->values, late->fds, LATE_DESCRIPTORS);
  if (error == -ENOENT) // no start.sock
    put(text, "cannot start a container of \"create --renew\": its program comes from who holds its --status-fd");
  else if (error < 0)
    format(text, "start the container: %e", error);
  if (error < 0) return -1;
  fault_point();
  TRACED("wait", "init", "");
  int got = await_message(c, fd, message, &passed, 1);
  if (got != -EINTR) return got != 0;
  put(text, "start the container: ended by a signal to the runtime");
  return -1;
}

// A hook has failed and takes the container with it (runtime.md, "Lifecycle", steps 7 and 9).
static int destroy_started(struct container *c) {
  lock_and_destroy(c, 1);
  return START_DESTROYED;
}

int start_container(struct container *c, const struct late *late, int socket, struct buffer *text) {
  struct run r;
  struct message message = {0};
  run_begin(&r, c, SECTION_BEFORE_START);
  CLOSING int claim = begin_start(&r, text);
  if (claim < 0) return -1;
  int answer = ask_init(c, late, socket, &message, text);
  if (answer < 0) return -1;
  r.section = SECTION_AFTER_START;
  if (answer && message.kind == MESSAGE_FAILURE) {
    if (put_report(text, &r, &message)) return destroy_started(c);
    kill_init(c);
  } else if (answer || c->journal->phase != PHASE_RUNNING) {
    put(text, "the container's first process died before it executed its program");
    put_oom(text, &c->program, 0);
  }
  if (text->used) {
    container_write(c, "failure", text->data, text->used); // for `ocirt why`, and the state
    return -1;
  }
  int error = run_section(&r);
  if (!error) return 0;
  put_failure(text, &r, r.step, error);
  return destroy_started(c);
}

int start_by_message(struct container *c, int from, int socket, struct buffer *text) {
  struct late late;
  long n = receive_rights(from, &late.values, sizeof late.values, late.fds, LATE_DESCRIPTORS);
  int error = n == sizeof late.values ? container_lock(c) : -EBADMSG, ends = c->ends;
  c->ends = from; // nothing else comes over it but its end
  if (error)
    format(text, "start the container: %e", error);
  else
    error = start_container(c, &late, socket, text);
  c->ends = ends;
  container_unlock(c);
  for (unsigned i = 0; i < LATE_DESCRIPTORS; i++)
    sys_close(late.fds[i]);
  return error;
}
