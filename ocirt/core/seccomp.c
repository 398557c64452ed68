// A seccomp filter that asks an agent: loaded, and its descriptor sent without a system call that it holds for.
#include "core.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <linux/sched.h>

#include "run.h"

#define WAITING INT_MIN

// What the process and the thread that sends share: the descriptor (or the error) one way, that it is done the other.
struct sender {
  struct run *run;
  const struct step *step;
  struct buffer state;
  int socket, listener, done;
};

static int send_state(const struct sender *s, int listener) {
  union { struct cmsghdr head; char space[CMSG_SPACE(sizeof(int))]; } control = {0};
  struct iovec part = {s->state.data, s->state.used};
  struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                        .msg_controllen = sizeof control.space};
  control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.head), &listener, sizeof listener);
  while (part.iov_len) {
    long n = sys3(SYS_sendmsg, s->socket, &head, MSG_NOSIGNAL);
    if (n == -EINTR) continue;
    if (n < 0) return n == -EAGAIN ? -ETIMEDOUT : (int)n;
    part.iov_base = (char *)part.iov_base + n;
    part.iov_len -= (size_t)n;
    head.msg_control = 0;  // descriptors go with the first part only
    head.msg_controllen = 0;
  }
  return 0;
}

// The thread. It is older than the filter, which holds for the thread that loads it alone.
static _Noreturn void send_listener(struct sender *s) {
  struct timespec pause = {0, 20000};
  int listener;
  // As long as one seccomp(2) takes. The other side cannot wake us: the filter may forbid every syscall that could.
  while ((listener = __atomic_load_n(&s->listener, __ATOMIC_ACQUIRE)) == WAITING) sys2(SYS_nanosleep, &pause, 0);
  if (listener >= 0) {
    int error = send_state(s, listener);
    // Descriptors are shared with the process, which is spared closing them.
    sys_close(s->socket);
    sys_close(listener);
    if (error) child_failed(s->run, s->step, failing(s->run, "sendmsg", error));
  }
  __atomic_store_n(&s->done, 1, __ATOMIC_RELEASE);
  for (;;) sys1(SYS_exit, 0);
}

// A thread on a stack of its own, which starts with `run`: 0 or a negative errno.
static int start_thread(void *stack, size_t size, void (*run)(struct sender *), struct sender *data) {
  struct clone_args args = {
    .flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
    .stack = (uint64_t)(uintptr_t)stack, .stack_size = size,
  };
  long result = SYS_clone3;
  __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov %[data], %%rdi\n\tcall *%[run]\n1:"
                   : "+a"(result) : "D"(&args), "S"(sizeof args), [run] "r"(run), [data] "r"(data)
                   : "rcx", "r11", "memory");
  return result < 0 ? (int)result : 0;
}

// The container process state (config-linux.md), in memory of its own.
static struct buffer process_state(struct run *r, const char *metadata, const char *status) {
  struct buffer state = state_buffer(r->program);
  int init = r->container->journal->pid, pid = r->pid ? r->pid : init;
  put_state(&state, r->program, r->container->journal, init, status, 0, 0);
  size_t size = state.used + 6 * strlen(metadata) + 256;
  void *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct buffer out = {memory == MAP_FAILED ? 0 : memory, size, 0, 0};
  if (!out.data) return out;
  const struct step_write_state *s = state_of(r->program);
  put(&out, "{\"ociVersion\":"); put_json(&out, text_of(r->program, s->oci_version));
  put(&out, ",\"fds\":[\"seccompFd\"],\"pid\":"); put_number(&out, pid);
  if (*metadata) { put(&out, ",\"metadata\":"); put_json(&out, metadata); }
  put(&out, ",\"state\":"); put_bytes(&out, state.data, state.used); put(&out, "}");
  return out;
}

int do_load_notifying_seccomp(struct run *r, const struct step_load_notifying_seccomp *s) {
  static char stack[16384] __attribute__((aligned(16)));
  static struct sender sender;
  struct timeval patience = {10, 0};
  size_t size = 0;
  const void *filter = bytes_of(r->program, s->filter, &size);
  struct { unsigned short length; const void *filter; } program = {(unsigned short)(size / 8), filter};
  if (size / 8 > 4096) {
    put(&r->detail, "the profile makes more than 4096 instructions");
    return failing(r, "seccomp", -E2BIG);
  }
  sender = (struct sender){.run = r, .step = &s->head, .socket = r->fds[s->socket], .listener = WAITING,
                           .state = process_state(r, TEXT(metadata), TEXT(status))};
  if (!sender.state.data) return failing(r, "mmap", -ENOMEM);
  sys5(SYS_setsockopt, sender.socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  int error = start_thread(stack, sizeof stack, send_listener, &sender);
  if (error) return failing(r, "clone3", error);
  int listener = (int)sys3(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, s->flags, &program);
  __atomic_store_n(&sender.listener, listener, __ATOMIC_RELEASE);
  // Not by a system call either: as long as one sendmsg(2) takes, ten seconds where the agent does not read.
  while (!__atomic_load_n(&sender.done, __ATOMIC_ACQUIRE)) __builtin_ia32_pause();
  return listener < 0 ? failing(r, "seccomp", listener) : 0;
}
