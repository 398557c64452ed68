// Turns the end of the runtime's child, or the child's own report, into the failure of a step.
#include "executor/child.h"

#include <poll.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/processes.h"
#include "base/socket.h"
#include "base/wait.h"
#include "executor/failure.h"
#include "state/facts.h"
#include "state/state_json.h"

int wait_or_end(const struct container *c, int fd) {
  struct pollfd fds[] = {{fd, POLLIN, 0}, {c->ends, POLLIN, 0}};
  poll_again(fds, COUNT(fds), -1);
  return fds[0].revents ? 0 : -EINTR;
}

int await_message(const struct container *c, int socket, struct message *message, int *fds, unsigned count) {
  int got;
  do
    got = c->ends >= 0 && wait_or_end(c, socket) ? -EINTR : receive_message(socket, message, fds, count);
  while (got == 1 && message->kind == MESSAGE_LINE);
  return got;
}

int ended_by_signal(struct run *r) { return whole_failure(r, -ECANCELED, "ended by a signal to the runtime"); }

int remember_init(struct run *r, int pid) {
  struct journal *j = r->container->journal;
  int error = read_start_time(pid, &j->start_time, 0);
  __atomic_store_n(&j->pid, pid, __ATOMIC_SEQ_CST);
  r->has_state = 0; // the prepared state.json has another pid
  return called(r, "read /proc/PID/stat of the container's process", error);
}

int become_container(struct run *r) {
  r->container->pidfd = r->child.pidfd;
  return remember_init(r, r->child.pid);
}

int no_answer(struct run *r, const char *call) {
  format(&r->detail, "whoever listens there has not answered for %d s", PEER_SECONDS);
  return failing(r, call, -ETIMEDOUT);
}

int send_to_peer(struct run *r, int socket, const char *name, int fd) {
  int error = send_descriptor(socket, name, fd);
  return error == -EAGAIN ? no_answer(r, "sendmsg") : called(r, "sendmsg", error);
}

// Kernels since 6.13, and older ones with that change, kill a child made by CLONE_INTO_CGROUP before it runs if the
// cgroup.kill files of its cgroup and of the caller's have not been written equally often. The runtime then makes the
// child in the caller's cgroup, and the child moves itself, for which it waits for a grace period.
int killed_at_birth(struct run *r) {
  struct child *child = &r->child;
  if (!is_host(r) || child->pidfd < 0 || child->entry >= 0 || *child->runs) return 0;
  const struct step_spawn *s = (const void *)r->spawn;
  int gone = 0, cgroup = NUMBER(cgroup) >= 0 ? r->fds[NUMBER(cgroup)] : -1;
  // A child that the kernel has not killed begins to run soon.
  for (int tries = 0; cgroup >= 0 && !gone && tries < 100; tries++) {
    gone = sys_poll(child->pidfd, POLLIN, 10) == 1;
    if (__atomic_load_n(child->runs, __ATOMIC_SEQ_CST)) return 0;
  }
  if (!gone || (child->entry = sys_openat2(cgroup, "cgroup.procs", O_WRONLY, RESOLVE_BENEATH)) < 0) return 0;
  wait_exit(child->pidfd, 0);
  sys_close(child->pidfd);
  sys_close(r->peer);
  child->pidfd = r->peer = -1;
  if (!r->joins) {
    r->container->pidfd = -1;
    r->container->journal->pid = 0;
  }
  forget_detail(r);
  return 1;
}

// Reports the child's failure instead of this step's.
int pass_on(struct run *r, const struct message *message) {
  static char call[sizeof message->call];
  const struct step *step = (const struct step *)(r->program->steps + message->step);
  memcpy(call, message->call, sizeof call);
  r->call = strcmp(call, "-") ? call : 0;
  forget_detail(r);
  put(&r->detail, message->detail);
  BUFFER(text, LOG_LINE);
  put_failure(&text, r, message->step < r->program->header->steps.size ? step : r->step, message->error);
  return whole_failure(r, message->error ? message->error : -EPROTO, "%s", text.data);
}

// If a step fails because the child has ended, the report that the child sent before is the failure.
int earlier_report(struct run *r, int error) {
  while (is_host(r) && sys_poll(r->peer, POLLIN, 0) == 1) {
    struct message message;
    int fds[PASSED];
    if (receive_message(r->peer, &message, fds, PASSED) != 1) break;
    for (unsigned i = 0; i < PASSED; i++)
      sys_close(fds[i]);
    if (message.kind == MESSAGE_FAILURE) return pass_on(r, &message);
  }
  return error;
}

int child_gone(struct run *r) {
  int status = 0;
  forget_detail(r);
  put(&r->detail, r->joins ? "the process died before it executed its program"
                           : "the container's first process died before it was ready");
  if (r->child.pidfd >= 0 && sys_poll(r->child.pidfd, POLLIN, 1000) == 1 && wait_exit(r->child.pidfd, &status) == 0 &&
      status) {
    format(
        &r->detail, ": %s %d", status & 0x7f ? "signal" : "exit status", status & 0x7f ? status & 0x7f : status >> 8);
    put_oom(&r->detail, r->program, r->joins);
  }
  return failing(r, "", -ECHILD);
}

int prepare_state(struct run *r) {
  struct buffer text = state_json(r->program, r->container->journal, r->container->journal->pid, "created", -1, 1);
  int error = container_write(r->container, STATE_TO_BE, text.data, text.used);
  arena_pop(&text); // a runtime that renews containers writes many
  r->has_state = 1;
  return called(r, "state.json", error);
}
