// Helpers: Python programs of this package that a step runs at its point of the program, for what is rare and needs a library.
#include "core.h"

#include <string.h>
#include <linux/netlink.h>

#include "run.h"

int do_open_init_namespace(struct run *r, const struct step_open_init_namespace *s) {
  BUFFER(path, 64);
  put(&path, "/proc/"); put_number(&path, r->container->journal->pid); put(&path, "/ns/"); put(&path, TEXT(file));
  int fd = sys_open(AT_FDCWD, path.data, O_RDONLY, 0);
  if (fd < 0) return failing(r, "open", fd);
  r->fds[s->fd] = fd;
  return 0;
}

static int route_socket(void) { return (int)sys3(SYS_socket, AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_ROUTE); }

// In the helper's process: from the container's network namespace alone, that and the runtime's, and a socket in each.
static int open_network(struct command *c) {
  c->fds[1] = sys_open(AT_FDCWD, "/proc/self/ns/net", O_RDONLY, 0);
  c->fds[2] = route_socket();
  int error = (int)sys2(SYS_setns, c->fds[0], 0x40000000 /* CLONE_NEWNET */);
  if (error) return error;
  c->fds[3] = route_socket();
  for (c->n_fds = 1; c->n_fds < 4; c->n_fds++) if (c->fds[c->n_fds] < 0) return c->fds[c->n_fds];
  return (int)sys2(SYS_setns, c->fds[1], 0x40000000);
}

int do_run_helper(struct run *r, const struct step_run_helper *s) {
  BUFFER(name, 64);
  BUFFER(text, 512);
  const char *interpreter, *script, *none[] = {0};
  int error = find_python(&interpreter, &script);
  if (!error && !interpreter) error = -ENOEXEC;
  if (error) { put(&r->detail, script); return failing(r, "find Python", error); }
  put(&name, "name="); put(&name, TEXT(helper));
  // As the launcher starts it.
  const char *args[] = {interpreter, "-I", "-S", "-X", "utf8", script, "@helper", name.data, 0};
  struct command command = {.path = interpreter, .args = args, .env = none, .input = sys_data_memfd("helper"), .timeout = 60};
  struct outcome outcome;
  if (NUMBER(network) >= 0) { command.fds[0] = r->fds[s->network]; command.n_fds = 1; command.prepare = open_network; }
  if (command.input < 0) return failing(r, "memfd_create", command.input);
  if (!(error = write_all(command.input, TEXT(data), strlen(TEXT(data))))) {
    sys3(SYS_lseek, command.input, 0, 0);
    error = run_command(r, &command, &outcome);
  } else failing(r, "write", error);
  sys_close(command.input);
  if (error) return error;
  if (!outcome.status && !outcome.late) { sys_close(outcome.output); return 0; }
  put_output(&text, outcome.output);
  sys_close(outcome.output);
  if (!outcome.late && outcome.status == 1 << 8) {
    // It has said all there is to say.
    put(&r->detail, text.data);
    return failing(r, "", -ECANCELED);
  }
  put(&r->detail, outcome.late ? "timed out after 60 s" : "died");
  if (text.used) { put(&r->detail, ": "); put(&r->detail, text.data); }
  return failing(r, interpreter, -ECANCELED);
}
