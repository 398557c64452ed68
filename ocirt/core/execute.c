// Running a section: step after step, the first failure ends it.
#include "core.h"

#include <string.h>

#include "run.h"

static int (*const handlers[])(struct run *, const struct step *) = {
#define X(name, code, size, sentence, kinds) (int (*)(struct run *, const struct step *))(void (*)(void)) do_##name,
    EACH_STEP(X)
#undef X
};

static const struct {
  const char *sentence, *kinds;
} texts[] = {
#define X(name, code, size, sentence, kinds) {sentence, kinds},
    EACH_STEP(X)
#undef X
};

void run_begin(struct run *r, struct container *c, unsigned section) {
  memset(r, 0, sizeof *r);
  r->container = c;
  r->program = &c->program;
  r->section = section;
  if (c->journal) {
    r->child.runs = &c->journal->child_runs;
    r->child.phase = &c->journal->phase;
  }
  for (unsigned i = 0; i < REGISTERS; i++)
    r->fds[i] = -1;
  r->directory = r->peer = r->proc = r->rootfs = r->null = r->empty = r->child.pidfd = r->console = r->start_socket =
      r->starter = r->child.entry = r->signals = r->pid_file = -1;
  r->detail = (struct buffer){r->detail_data, sizeof r->detail_data, 0, 0};
}

int run_section(struct run *r, const struct step **failed) {
  return run_steps(r, section_first(r->program, r->section), failed);
}

static int stays_in_directory(unsigned code) {
  return code == STEP_MAKE_NODE || code == STEP_MAKE_SYMLINK || code == STEP_MOUNT || code == STEP_BIND;
}

int run_steps(struct run *r, const struct step *step, const struct step **failed) {
  const struct step *end = section_end(r->program, r->section);
  while (step < end) {
    r->call = 0;
    r->step = step;
    if (step->code == STEP_SPAWN) r->spawn = step;
    if (r->directory >= 0 && !stays_in_directory(step->code)) forget_directory(r);
    int error = handlers[step->code](r, step);
    if (error < 0 && killed_at_birth(r)) {
      step = r->spawn;
      continue;
    }
    if (error < 0) {
      *failed = step;
      return error;
    }
    fault_point();
    step = next_step(step);
  }
  return 0;
}

// The step's sentence with its fields in place.
static void put_sentence(struct buffer *to, const struct program *p, const struct step *step) {
  const uint64_t *fields = (const uint64_t *)(step + 1);
  for (const char *at = texts[step->code].sentence; *at; at++) {
    if (at[0] != '{') {
      put_bytes(to, at, 1);
      continue;
    }
    unsigned field = (unsigned)(at[1] - '0');
    at += 2;
    switch (texts[step->code].kinds[field]) {
    case 't':
      for (const char *text = text_of(p, fields[field]); *text; text++)
        if (*text == '\n')
          put(to, "; ");
        else
          put_bytes(to, text, 1);
      break;
    case 's': {
      static const char *const names[] = {SECTION_NAMES};
      put(to, names[fields[field]]);
      break;
    }
    default:
      put_number(to, (int64_t)fields[field]);
    }
  }
}

static const char *section_of(const struct program *p, const struct step *step) {
  static const char *const names[] = {SECTION_NAMES};
  for (unsigned i = 0; i < COUNT(names); i++)
    if (step >= section_first(p, i) && step < section_end(p, i)) return names[i];
  return 0;
}

static void remember_failure(const struct program *p, const struct step *step, int error) {
  if (failure.phase) return;
  failure.phase = section_of(p, step);
  failure.path = text_of(p, step->at);
  // Of these two there is no more to know than that something else has failed.
  if (error != -ECANCELED && error != -ECHILD) failure.error = -error;
}

void put_failure(struct buffer *to, const struct run *r, const struct step *step, int error) {
  remember_failure(r->program, step, error);
  if (step->code == STEP_FIND_EXECUTABLE)
    logging.hint = "it is looked for in the root file system, a bare name in the directories of PATH in process.env";
  // A step that has said all there is to say needs no sentence (a program that is not found, a hook that failed).
  if (r->call && !*r->call) {
    put(to, r->detail.data);
    return;
  }
  put(to, text_of(r->program, step->at));
  put(to, ": ");
  put_sentence(to, r->program, step);
  if (r->call) {
    put(to, ": ");
    put(to, r->call);
  }
  put(to, ": ");
  put_error(to, error);
  put_refusal(to, error);
  if (r->detail.used) {
    put(to, ": ");
    put(to, r->detail.data);
  }
}

void child_failed(struct run *r, const struct step *step, int error) {
  struct message message = {
      .kind = MESSAGE_FAILURE, .error = error, .step = (uint32_t)((const uint8_t *)step - r->program->steps)};
  struct buffer call = {message.call, sizeof message.call, 0, 0},
                detail = {message.detail, sizeof message.detail, 0, 0};
  put(&call, r->call ? r->call : "-");
  put_bytes(&detail, r->detail.data, r->detail.used);
  send_message(r->section == SECTION_BEGIN ? r->starter : r->peer, &message, -1);
  sys_exit(1);
}

static int has_request(int connection) {
  struct start_request request;
  long n;
  do
    n = sys_read(connection, &request, sizeof request);
  while (n == -EINTR);
  return n == sizeof request && request.version == START_VERSION;
}

// `run` starts the container over the socket that the runtime and we have together. `create` only ends, or closes it,
// and whether it has committed before tells the journal; then `start` comes over the other socket: one connection at a
// time, one that closes without a word is passed over.
static void wait_for_start(struct run *r) {
  int asked = has_request(r->peer);
  if (__atomic_load_n(r->child.phase, __ATOMIC_SEQ_CST) != PHASE_CREATED || asked != (r->start_socket < 0)) sys_exit(1);
  if (asked) {
    r->starter = r->peer;
    return;
  }
  sys_close(r->peer);
  for (;;) {
    int connection = (int)sys4(SYS_accept4, r->start_socket, 0, 0, SOCK_CLOEXEC);
    if (connection == -EINTR || connection == -ECONNABORTED) continue;
    if (connection < 0) sys_exit(1);
    if (has_request(connection)) {
      r->starter = connection;
      break;
    }
    sys_close(connection);
  }
  sys_close(r->start_socket);
}

void run_child(struct run *r, unsigned section) {
  const struct step *failed;
  r->section = section;
  // The runtime's own descriptors end here: they must not reach a namespace of others, nor keep the lock held.
  sys_close(r->container->dir);
  r->container->dir = r->container->ends = -1;
  leave_top();
  if (section == SECTION_INIT) sys0(SYS_setsid);
  int error = 0;
  if (r->child.entry >= 0) {
    error = (int)sys_write(r->child.entry, "0", 1);
    sys_close(r->child.entry);
    r->child.entry = -1; // what it spawns begins there
    failed = r->spawn;
    r->call = "write cgroup.procs";
  }
  if (error >= 0) error = run_section(r, &failed);
  if (error < 0) child_failed(r, failed, error);
  if (section == SECTION_STAGE) sys_exit(0);

  wait_for_start(r);
  r->section = SECTION_BEGIN;
  error = run_section(r, &failed);
  if (error < 0) child_failed(r, failed, error);
  sys_exit(1);
}
