// Events between the runtime and its children: a step sends one, another step waits for it.
#include "executor/events.h"

#include <poll.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/signals.h"
#include "base/wait.h"
#include "executor/child.h"

static int are_registers(uint64_t first, uint64_t count) {
  return !count || (count <= PASSED && first < REGISTERS && count <= REGISTERS - first);
}

// Ends a waiting init on a fatal signal, as that would end its program. Without a handler pid 1 would ignore it.
static void leave(int signal) { sys_exit(128 + signal); }

// After the event `ready` the runtime may commit and exit. From then on only the socket, and no longer a signal, tells
// init that the runtime is gone. Signals to init may also arrive, and pid 1 receives only those that it handles; execve
// removes the handlers.
void prepare_ready(struct run *r) {
  sys_prctl(PR_SET_PDEATHSIG, 0, 0);
  if (r->joins) return;
  set_signals(FATAL, leave);
  set_signals(~(FIXED | FATAL | BIT(SIGCHLD)), 0); // SetChildAction may have set SIGCHLD
}

int send_event(struct run *r, const struct occurrence *s) {
  if (s->event == EVENT_READY) prepare_ready(r);
  struct message message = {
      .kind = MESSAGE_EVENT, .event = (uint32_t)s->event, .pid = s->event == EVENT_KNOWN ? r->child.pid : 0};
  if (!are_registers(s->first, s->count)) return failing(r, "check", -EINVAL);
  int *passed = r->fds + (s->count ? s->first : 0);
  unsigned count = (unsigned)s->count;
  if (s->optional && count && passed[count - 1] < 0) count--;
  int error = send_message(r->peer, &message, passed, count);
  for (unsigned i = 0; i < count; i++)
    sys_close(release(&passed[i]));
  // If the child has ended, its report is in the socket, and the next Receive reads it.
  return error && error != -EPIPE && error != -ECONNRESET ? failing(r, "sendmsg", error) : 0;
}

// If the stage is killed after it has made init, nobody sends `spawned`, and the socket stays open, because init holds
// it, too. So this waits for the socket and for the end of the stage.
static int stage_gone(struct run *r) {
  struct pollfd either[] = {{.fd = r->peer, .events = POLLIN}, {.fd = r->child.pidfd, .events = POLLIN}};
  return poll_again(either, COUNT(either), -1) > 0 && !either[0].revents && sys_poll(r->peer, POLLIN, 0) == 0;
}

// Reaps the stage, which has ended. From here on the child is init.
static int take_init(struct run *r, int pid, int pidfd) {
  wait_exit(r->child.pidfd, 0);
  sys_close(r->child.pidfd);
  r->child.pid = pid;
  r->child.pidfd = pidfd;
  return r->joins ? 0 : become_container(r);
}

static int take_event(struct run *r, const struct occurrence *s, const struct message *message, const int *fds) {
  int error = message->event == EVENT_SPAWNED ? take_init(r, message->pid, fds[0]) : 0;
  if (error) return error;
  if (message->event == EVENT_KNOWN) r->pid = message->pid;
  unsigned needed = (unsigned)s->count - (s->count && s->optional);
  if (!are_registers(s->first, s->count) || (needed && fds[needed - 1] < 0)) return failing(r, "recvmsg", -EPROTO);
  if (s->count) memcpy(r->fds + s->first, fds, s->count * sizeof *fds);
  return 0;
}

// Keeps a message that may come before the wanted event: a terminal, or an event that overtakes `spawned`, because init
// may be at work before the stage has reported it.
static int keep_early(struct run *r, uint64_t wanted, const struct message *message, int fd) {
  if (message->kind == MESSAGE_CONSOLE) {
    r->console = fd;
    return 1;
  }
  if (wanted != EVENT_SPAWNED || message->event == EVENT_SPAWNED || message->event >= EVENT_COUNT) return 0;
  r->arrived |= 1u << message->event;
  return 1;
}

int receive_event(struct run *r, const struct occurrence *s) {
  struct message message;
  int fds[PASSED], error = s->event == EVENT_READY && !r->joins ? prepare_state(r) : 0;
  uint32_t wanted = 1u << s->event;
  if (error) return error;
  if (r->arrived & wanted) {
    r->arrived &= ~wanted;
    return 0;
  }
  do {
    if (s->event == EVENT_SPAWNED && stage_gone(r)) return child_gone(r);
    int got = await_message(r->container, r->peer, &message, fds, PASSED);
    if (got == -EINTR) return ended_by_signal(r);
    if (got < 0) return failing(r, "recvmsg", got);
    if (got == 0) return is_host(r) ? child_gone(r) : failing(r, "recvmsg", -ECONNRESET);
    if (message.kind == MESSAGE_FAILURE) return pass_on(r, &message);
  } while (keep_early(r, s->event, &message, fds[0]));
  return message.event == s->event ? take_event(r, s, &message, fds) : failing(r, "recvmsg", -EPROTO);
}

int do_send(struct run *r, const struct step_send *s) {
  return send_event(r, &(struct occurrence){s->event, s->first, s->count, s->optional});
}

int do_receive(struct run *r, const struct step_receive *s) {
  return receive_event(r, &(struct occurrence){s->event, s->first, s->count, s->optional});
}
