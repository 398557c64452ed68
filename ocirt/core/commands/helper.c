// Runs a Python helper of this package, for rare work that needs a library, at the step's place in the section.
#include "commands/helper.h"

#include <string.h>
#include <linux/netlink.h>
#include <linux/sched.h>

#include "base/files.h"
#include "base/log.h"
#include "base/socket.h"
#include "commands/hook.h"
#include "executor/failure.h"
#include "executor/process_file.h"
#include "launch/python.h"

int do_open_init_namespace(struct run *r, const struct step_open_init_namespace *s) {
  BUFFER(file, 32);
  format(&file, "ns/%s", TEXT(file));
  r->fds[s->fd] = open_process_file(r->container->journal->pid, file.data, O_RDONLY);
  return called(r, "open", r->fds[s->fd]);
}

static int route_socket(void) { return (int)sys3(SYS_socket, AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE); }

// In the helper's process: completes its descriptors. Given the container's network namespace, opens the runtime's and
// a route socket in each.
static int open_network(struct command *c) {
  c->fds[1] = sys_open(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0);
  c->fds[2] = route_socket();
  int error = (int)sys2(SYS_setns, c->fds[0], CLONE_NEWNET);
  if (error) return error;
  c->fds[3] = route_socket();
  for (int i = 1; i < 4; i++)
    if (c->fds[i] < 0) return c->fds[i];
  return (int)sys2(SYS_setns, c->fds[1], CLONE_NEWNET);
}

// A helper that fails prints one line and exits with status 1. With any other status it did not get that far.
static int helper_failed(struct run *r, const char *interpreter, const struct outcome *outcome) {
  int has_said = !outcome->late && outcome->status == 1 << 8;
  if (!has_said && outcome->late)
    format(&r->detail, "timed out after %d s: ", HELPER_SECONDS);
  else if (!has_said)
    put(&r->detail, "died: ");
  put_output(&r->detail, outcome->output);
  sys_close(outcome->output);
  return failing(r, has_said ? "" : interpreter, -ECANCELED);
}

// Runs the helper with `input` as its standard input.
static int run_with(
    struct run *r, const char *helper, const char *verb, int input, struct command *command, int *output) {
  // One variable, by which python-prctl finds the end of the command line.
  const char *interpreter, *script, *env[] = {"LC_ALL=C", 0};
  int error = find_python(&interpreter, &script);
  if (!error && !interpreter) error = -ENOEXEC;
  if (error) return failing_because(r, "find Python", error, script);
  const char *args[] = {
      interpreter, isolated_python(), "-S", "-X", "utf8", script, "@helper", helper, verb, r->container->id, 0};
  struct outcome outcome;
  command->path = interpreter;
  command->args = args;
  command->env = env;
  command->input = input;
  sys3(SYS_lseek, input, 0, SEEK_SET);
  if ((error = run_command(r, command, &outcome))) return error;
  if (outcome.status || outcome.late) return helper_failed(r, interpreter, &outcome);
  *output = outcome.output;
  return 0;
}

int run_helper(struct run *r, const char *helper, const char *data, struct command *command, int *output) {
  CLOSING int input = sys_memfd("helper", MFD_NOEXEC_SEAL);
  if (input < 0) return failing(r, "memfd_create", input);
  int error = write_all(input, data, strlen(data));
  return error ? failing(r, "write", error) : run_with(r, helper, "run", input, command, output);
}

static struct command with_network(struct run *r, const struct step_run_helper *s) {
  struct command command = {.timeout = HELPER_SECONDS};
  if (NUMBER(network) < 0) return command;
  command.fds[0] = r->fds[s->network];
  command.n_fds = 4;
  command.prepare = open_network;
  return command;
}

int do_run_helper(struct run *r, const struct step_run_helper *s) {
  struct command command = with_network(r, s);
  CLOSING int guard = -1;
  if (NUMBER(guard) >= 0) {
    int error = socket_pair(SOCK_STREAM, &guard, &r->fds[s->guard]);
    if (error) return failing(r, "socketpair", error);
    command.fds[command.n_fds++] = guard;
    command.fds[command.n_fds++] = r->container->dir;
  }
  return run_helper(r, TEXT(helper), TEXT(data), &command, &r->fds[s->record]);
}

void undo_helpers(struct run *r) {
  const struct step *failed = r->step;
  for (r->step = section_first(r->program, r->section); r->step < failed; r->step = next_step(r->step)) {
    if (r->step->code != STEP_RUN_HELPER) continue;
    const struct step_run_helper *s = (const struct step_run_helper *)r->step;
    CLOSING int output = -1;
    // Tells the guard, if it still runs, that the runtime undoes the work.
    if (NUMBER(guard) >= 0) {
      sys4(SYS_sendto, r->fds[s->guard], "", 1, MSG_NOSIGNAL);
      sys_close(release(&r->fds[s->guard]));
    }
    struct command command = with_network(r, s);
    int error = run_with(r, TEXT(helper), "undo", r->fds[s->record], &command, &output);
    if (!error) continue;
    BUFFER(text, LOG_LINE);
    put_failure(&text, r, r->step, error);
    log_line("warning", text.data);
    forget_detail(r);
  }
}
