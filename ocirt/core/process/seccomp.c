// Loads a seccomp filter that notifies an agent. A thread, to which the filter does not apply, sends its descriptor.

#include <limits.h>
#include <string.h>
#include <linux/bpf_common.h>

#include "base/memory.h"
#include "base/processes.h"
#include "base/socket.h"
#include "base/trace.h"
#include "base/wait.h"
#include "executor/channel.h"
#include "executor/events.h"
#include "executor/failure.h"
#include "executor/filter.h"
#include "state/state_json.h"

#define WAITING INT_MIN

// Shared by the process and the sending thread: `listener` (or the error) goes to the thread, `done` comes back.
struct sender {
  struct run *run;
  const struct step_load_notifying_seccomp *step;
  struct buffer state;
  int socket, listener, done;
};

static int send_state(const struct sender *s, int listener) {
  size_t sent = 0;
  // Only the first part carries the descriptor.
  for (unsigned count = 1; sent < s->state.used; count = 0) {
    long n = send_rights(s->socket, s->state.data + sent, s->state.used - sent, &listener, count);
    if (n < 0) return n == -EAGAIN ? -ETIMEDOUT : (int)n;
    sent += (size_t)n;
  }
  return 0;
}

// The thread. It starts before the filter is loaded, and a filter applies only to the thread that loads it.
static _Noreturn void send_listener(void *data) {
  struct sender *s = data;
  int listener;
  // Waits for one seccomp(2). The process cannot wake this thread: the filter may forbid every system call that could.
  while ((listener = __atomic_load_n(&s->listener, __ATOMIC_ACQUIRE)) == WAITING)
    pause_for(20);
  if (listener >= 0) {
    int error = send_state(s, listener);
    // The process shares its descriptors with this thread and need not close them again.
    sys_close(s->socket);
    sys_close(listener);
    struct message ready = {.kind = MESSAGE_EVENT, .event = EVENT_READY};
    if (!error && s->step->ready) error = send_message(s->run->peer, &ready, 0, 0);
    if (error) child_failed(s->run, failing(s->run, "sendmsg", error));
  }
  __atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
  end_thread();
}

// The container process state (config-linux.md). Without data if no memory is left.
static struct buffer process_state(struct run *r, const char *metadata, const char *status) {
  int init = r->container->journal->pid, pid = r->pid ? r->pid : init;
  struct buffer state = state_json(r->program, r->container->journal, init, status, -1, 0);
  size_t size = state.used + 6 * strlen(metadata) + 256;
  struct buffer out = {arena_alloc(size), size, 0, 0};
  if (!out.data) return out;
  format(&out, "{\"ociVersion\":%j,\"fds\":[\"seccompFd\"],\"pid\":%d", r->program->facts.oci_version, pid);
  if (*metadata) format(&out, ",\"metadata\":%j", metadata);
  format(&out, ",\"state\":%s}", state.data);
  return out;
}

static int filter_failed(struct run *r, int error) {
  if (error == -E2BIG) format(&r->detail, "the profile makes more than %d instructions", BPF_MAXINSNS);
  return failing(r, "seccomp", error);
}

int do_load_seccomp(struct run *r, const struct step_load_seccomp *s) {
  record.filtered = 1;
  int error = load_filter(r->program, s->filter, s->flags);
  return error < 0 ? filter_failed(r, error) : 0;
}

int do_filter_hooks(struct run *r, const struct step_filter_hooks *s) {
  r->hook_filter = s;
  return 0;
}

int do_load_notifying_seccomp(struct run *r, const struct step_load_notifying_seccomp *s) {
  static char stack[16384] __attribute__((aligned(16)));
  static struct sender sender;
  if (s->ready) prepare_ready(r);
  sender = (struct sender){.run = r,
      .step = s,
      .socket = r->fds[s->socket],
      .listener = WAITING,
      .state = process_state(r, TEXT(metadata), TEXT(status))};
  if (!sender.state.data) return failing(r, "mmap", -ENOMEM);
  int error = start_thread(stack, sizeof stack, 0, send_listener, &sender);
  if (error) return failing(r, "clone3", error);
  record.filtered = 1;
  int listener = load_filter(r->program, s->filter, s->flags);
  __atomic_store_n(&sender.listener, listener, __ATOMIC_RELEASE);
  // Also waits without a system call: for one sendmsg(2), or ten seconds if the agent does not read.
  while (!__atomic_load_n(&sender.done, __ATOMIC_ACQUIRE))
    __asm__ volatile(PROCESSOR_WAITS);
  return listener < 0 ? filter_failed(r, listener) : 0;
}
