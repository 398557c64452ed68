// Processes: clone3, waiting, signals, and the steps that tie the runtime to its child.
#include "cgroup.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <linux/sched.h>

#include "run.h"

int sys_poll(int fd, short events, int timeout) {
  struct pollfd one = {.fd = fd, .events = events};
  long n;
  do
    n = sys3(SYS_poll, &one, 1, timeout);
  while (n == -EINTR);
  return (int)n;
}

int wait_exit(int pidfd, int *status) {
  return wait_usage(pidfd, status, 0);
}

int wait_usage(int pidfd, int *status, struct rusage *usage) {
  siginfo_t info = {0};
  long error;
  do
    error = sys5(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, usage);
  while (error == -EINTR);
  if (error < 0) return (int)error;
  *status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status & 0x7f;
  return 0;
}

int wait_or_end(const struct container *c, int fd, int milliseconds) {
  struct pollfd fds[] = {{fd, POLLIN, 0}, {c->ends, POLLIN, 0}};
  long n;
  do
    n = sys3(SYS_poll, fds, COUNT(fds), milliseconds);
  while (n == -EINTR);
  return fds[0].revents ? 1 : n > 0 ? -EINTR : 0;
}

int ended_by_signal(struct run *r) {
  r->detail.used = 0;
  put(&r->detail, "ended by a signal to the runtime");
  return failing(r, "", -ECANCELED);
}

// The kernel's own structure: libc's sigaction would need its restorer, and its wrapper a working thread id.
struct kernel_sigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};

__attribute__((naked)) static void restore(void) {
  __asm__("mov $15, %eax\n\tsyscall");
} // rt_sigreturn

void set_signals(uint64_t which, void (*handler)(int)) {
  struct kernel_sigaction action = {
      .handler = handler, .flags = handler ? 0x04000000 /* SA_RESTORER */ : 0, .restorer = handler ? restore : 0};
  for (int signal = 1; signal <= 64; signal++)
    if (which >> (signal - 1) & 1) sys4(SYS_rt_sigaction, signal, &action, 0, 8);
}

// HUP INT QUIT ABRT FPE USR1 USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS; and nobody can set KILL and
// STOP.
#define FATAL 0x7780faa7ull
#define FIXED (1ull << 8 | 1ull << 18)

void reset_signals(void) {
  set_signals(~FIXED, 0);
}

void unblock_signals(void) {
  uint64_t none = 0;
  sys4(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
}

int remember_init(struct run *r, int pid) {
  struct journal *j = r->container->journal;
  int error = read_start_time(pid, &j->start_time);
  __atomic_store_n(&j->pid, pid, __ATOMIC_SEQ_CST);
  r->has_state = 0; // what has been prepared names another
  return error ? failing(r, "read /proc/PID/stat of the container's process", error) : 0;
}

// create: the child is the container's first process from here on.
static int become_container(struct run *r) {
  r->container->pidfd = r->child.pidfd;
  return remember_init(r, r->child.pid);
}

int no_answer(struct run *r, const char *call) {
  format(&r->detail, "whoever listens there has not answered for %d s", PEER_SECONDS);
  return failing(r, call, -ETIMEDOUT);
}

// `cgroup` is the one that the child is made in, -1: the runtime's own. On a hybrid host that one knows nothing of
// pids: the child is in the runtime's cgroups of all controllers still.
static int explain_spawn(struct run *r, int error, int cgroup) {
  struct stat st;
  int into_cgroup = cgroup >= 0, counted = into_cgroup && sys_stat(cgroup, "pids.max", &st, 0) == 0;
  if (into_cgroup && error == -EACCES) put(&r->detail, "the cgroup may not be entered from the runtime's own");
  if (into_cgroup && error == -EBUSY) put(&r->detail, "the cgroup has controllers enabled for children");
  // On cgroup v1 it is made beside its cgroups, but for what a stage makes.
  if (error == -EAGAIN)
    put(&r->detail, counted || r->section == SECTION_STAGE
                        ? "is pids.max of the container's cgroup, or of one above it, reached?"
                        : "is pids.max of the runtime's cgroup, or its RLIMIT_NPROC, reached?");
  if (into_cgroup && error == -EOPNOTSUPP) put(&r->detail, "the cgroup is part of a threaded one");
  // So says the kernel where a pid namespace takes no more.
  if (error == -ENOMEM && r->section == SECTION_STAGE) put(&r->detail, "has the pid namespace that is joined ended?");
  return failing(r, "clone3", error);
}

// A child that is made in a cgroup is killed before it runs on kernels since 6.13 (and some before, with a fix taken
// over) if that cgroup or the caller's own has ever been written to cgroup.kill, and the other has not: the kernel
// compares the two. The child is then made in the caller's cgroup and moves itself, which waits for a grace period.
int killed_at_birth(struct run *r) {
  struct child *child = &r->child;
  if (r->section != SECTION_HOST || child->pidfd < 0 || child->entry >= 0 || *child->runs) return 0;
  const struct step_spawn *s = (const void *)r->spawn;
  int status, gone = 0, cgroup = NUMBER(cgroup) >= 0 ? r->fds[NUMBER(cgroup)] : -1;
  // A child that lives begins to run any moment, and is then none of these.
  for (int tries = 0; cgroup >= 0 && !gone && tries < 100; tries++) {
    gone = sys_poll(child->pidfd, POLLIN, 10) == 1;
    if (__atomic_load_n(child->runs, __ATOMIC_SEQ_CST)) return 0;
  }
  if (!gone || (child->entry = sys_openat2(cgroup, "cgroup.procs", O_WRONLY, 0, RESOLVE_BENEATH)) < 0) return 0;
  wait_exit(child->pidfd, &status);
  sys_close(child->pidfd);
  sys_close(r->peer);
  child->pidfd = r->peer = -1;
  if (!r->joins) {
    r->container->pidfd = -1;
    r->container->journal->pid = 0;
  }
  r->detail.used = r->detail.full = 0;
  r->detail.data[0] = 0;
  return 1;
}

// clone3 into the cgroup; where that may not be, in the cgroup of the caller (`stay`) or in the one that init is in.
static long clone_child(struct run *r, const struct step_spawn *s, int *pidfd, int *into) {
  int from_stage = r->section == SECTION_STAGE;
  int cgroup = NUMBER(cgroup) >= 0 && r->child.entry < 0 ? r->fds[NUMBER(cgroup)] : -1;
  if (s->stay && cgroup < 0 && r->child.entry < 0)
    r->stays = "the container stays in the runtime's cgroup: this user may not make one for it";
  struct clone_args args = {
      .flags = (uint64_t)NUMBER(flags) | CLONE_PIDFD | (from_stage ? CLONE_PARENT : 0) |
               (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
      .pidfd = (uint64_t)(uintptr_t)pidfd,
      .exit_signal = from_stage ? 0 : SIGCHLD, // CLONE_PARENT takes the parent's own
      .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
  };
  long pid = sys2(SYS_clone3, &args, sizeof args);
  if (pid == -EACCES && cgroup >= 0 && s->stay) {
    r->stays = "the container stays in the runtime's cgroup: from there this user may not enter another";
    args.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
    pid = sys2(SYS_clone3, &args, sizeof args);
  }
  // The container has child cgroups with controllers, and moved its processes there: where its first one is, this one
  // may be.
  for (int tries = 0; pid == -EBUSY && cgroup >= 0 && *TEXT(hierarchy) && tries < 16; tries++) {
    int fd = open_cgroup_of_init(r, TEXT(hierarchy));
    if (fd < 0) break;
    sys_close(cgroup);
    args.cgroup = (uint64_t)(r->fds[NUMBER(cgroup)] = cgroup = fd);
    pid = sys2(SYS_clone3, &args, sizeof args);
  }
  *into = args.flags & CLONE_INTO_CGROUP ? cgroup : -1;
  return pid;
}

int do_spawn(struct run *r, const struct step_spawn *s) {
  int pair[2] = {-1, -1}, pidfd = -1, into, from_stage = r->section == SECTION_STAGE;
  int error = from_stage ? 0 : (int)sys4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
  if (error < 0) return failing(r, "socketpair", error);
  CLOSING int ours = pair[0];
  CLOSING int theirs = pair[1];
  if (!from_stage) *r->child.runs = 0;
  long pid = clone_child(r, s, &pidfd, &into);
  if (pid < 0) return explain_spawn(r, (int)pid, into);
  if (!pid) {
    __atomic_store_n(r->child.runs, 1, __ATOMIC_SEQ_CST);
    if (!from_stage) {
      r->peer = release(&theirs);
      sys_close(ours);
    }
    // The runtime's death before it commits is this process' death. If it died before this line, the socket says so.
    sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0);
    run_child(r, (unsigned)s->section);
  }
  if (from_stage) {
    struct message message = {.kind = MESSAGE_EVENT, .event = EVENT_SPAWNED, .pid = (int32_t)pid};
    error = send_message(r->peer, &message, pidfd);
    return error ? failing(r, "sendmsg", error) : 0;
  }
  r->peer = release(&ours);
  r->child.pid = (int)pid;
  r->child.pidfd = pidfd;
  return s->section == SECTION_INIT && !s->later ? become_container(r) : 0;
}

int do_remember_init(struct run *r, const struct step_remember_init *s) {
  (void)s;
  return become_container(r);
}

static int are_registers(uint64_t first, uint64_t count) {
  return !count || (count <= PASSED && first < REGISTERS && count <= REGISTERS - first);
}

// Fatal signals end a waiting init as they would end its program; pid 1 would ignore them otherwise.
static void leave(int signal) {
  sys_exit(128 + signal);
}

// From the event `ready` on the runtime may commit and end: its end is no longer told by a signal, but by the socket
// alone. And a signal may come, which the first process of a pid namespace would not get without a handler; execve
// leaves nothing of it.
void prepare_ready(struct run *r) {
  sys_prctl(PR_SET_PDEATHSIG, 0, 0, 0);
  if (r->joins) return;
  set_signals(FATAL, leave);
  set_signals(~(FIXED | FATAL), 0);
}

int do_send(struct run *r, const struct step_send *s) {
  if (s->event == EVENT_READY) prepare_ready(r);
  struct message message = {
      .kind = MESSAGE_EVENT, .event = (uint32_t)s->event, .pid = s->event == EVENT_KNOWN ? r->child.pid : 0};
  if (!are_registers(s->first, s->count)) return failing(r, "check", -EINVAL);
  int *passed = r->fds + (s->count ? s->first : 0);
  unsigned count = (unsigned)s->count;
  if (s->optional && count && passed[count - 1] < 0) count--;
  int error = send_message_with(r->peer, &message, passed, count);
  for (unsigned i = 0; i < count; i++) {
    sys_close(passed[i]);
    passed[i] = -1;
  }
  // A child that has gone has left the reason in the socket: the next Receive reports it.
  return error && error != -EPIPE && error != -ECONNRESET ? failing(r, "sendmsg", error) : 0;
}

// The child's own report stands in for this step's.
int pass_on(struct run *r, const struct message *message, const struct step *here) {
  static char call[sizeof message->call];
  const struct step *step = (const struct step *)(r->program->steps + message->step);
  memcpy(call, message->call, sizeof call);
  r->call = strcmp(call, "-") ? call : 0;
  r->detail.used = 0;
  put(&r->detail, message->detail);
  BUFFER(text, LOG_LINE);
  put_failure(&text, r, message->step < r->program->header->steps.size ? step : here, message->error);
  r->detail.used = 0;
  put(&r->detail, text.data);
  return failing(r, "", message->error ? message->error : -EPROTO);
}

int child_gone(struct run *r) {
  int status = 0;
  r->detail.used = 0;
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

#define STATE_TO_BE "state.json.new"

// The state as it will be, while init is at work; Commit renames it.
static int prepare_state(struct run *r) {
  struct buffer text = state_buffer(r->program);
  put_state(&text, r->program, r->container->journal, r->container->journal->pid, "created", 0, 1);
  int error = container_write(r->container, STATE_TO_BE, text.data, text.used);
  r->has_state = 1;
  return error ? failing(r, "state.json", error) : 0;
}

// A stage that is killed once it has made init tells nothing, and its end of the socket is init's too: a wait for both
// of them.
static int stage_gone(struct run *r) {
  struct pollfd either[] = {{.fd = r->peer, .events = POLLIN}, {.fd = r->child.pidfd, .events = POLLIN}};
  long n;
  do
    n = sys3(SYS_poll, either, 2, -1);
  while (n == -EINTR);
  return n > 0 && !either[0].revents && sys_poll(r->peer, POLLIN, 0) == 0;
}

int do_receive(struct run *r, const struct step_receive *s) {
  if (s->event == EVENT_READY && !r->joins) {
    int error = prepare_state(r);
    if (error) return error;
  }
  uint32_t wanted = 1u << s->event;
  if (r->early & wanted) {
    r->early &= ~wanted;
    return 0;
  }
  for (;;) {
    struct message message;
    if (s->event == EVENT_SPAWNED && stage_gone(r)) return child_gone(r);
    if (r->container->ends >= 0 && wait_or_end(r->container, r->peer, -1) < 0) return ended_by_signal(r);
    int fds[PASSED], got = receive_message_with(r->peer, &message, fds, PASSED);
    if (got < 0) return failing(r, "recvmsg", got);
    if (got == 0) return r->section == SECTION_HOST ? child_gone(r) : failing(r, "recvmsg", -ECONNRESET);
    if (message.kind == MESSAGE_FAILURE) return pass_on(r, &message, &s->head);
    if (message.kind == MESSAGE_CONSOLE) {
      r->console = fds[0];
      continue;
    }
    if (message.event != s->event) {
      // Init may be at work before the stage has told that it exists.
      if (s->event != EVENT_SPAWNED || message.event >= 32) return failing(r, "recvmsg", -EPROTO);
      r->early |= 1u << message.event;
      continue;
    }
    if (message.event == EVENT_SPAWNED) {
      int status, error;
      wait_exit(r->child.pidfd, &status); // the stage has nothing left to do
      sys_close(r->child.pidfd);
      r->child.pid = message.pid;
      r->child.pidfd = fds[0];
      if (!r->joins && (error = become_container(r))) return error;
    }
    if (message.event == EVENT_KNOWN) r->pid = message.pid;
    unsigned needed = (unsigned)s->count - (s->count && s->optional);
    if (!are_registers(s->first, s->count) || (needed && fds[needed - 1] < 0)) return failing(r, "recvmsg", -EPROTO);
    if (s->count) memcpy(r->fds + s->first, fds, s->count * sizeof *fds);
    return 0;
  }
}

int do_commit(struct run *r, const struct step_commit *s) {
  (void)s;
  struct container *c = r->container;
  if (sys_poll(r->child.pidfd, POLLIN, 0) == 1) return child_gone(r);
  int error = r->has_state ? 0 : prepare_state(r);
  if (error) return error;
  error = container_rename(c, STATE_TO_BE, "state.json");
  if (error) return failing(r, "state.json", error);
  // Init needs no word: it finds this once we have ended, or ask it to start.
  __atomic_store_n(&c->journal->phase, PHASE_CREATED, __ATOMIC_SEQ_CST);
  if (r->stays) log_line("warning", r->stays);
  return 0;
}

int do_write_state(struct run *r, const struct step_write_state *s) {
  (void)r;
  (void)s;
  return 0;
}

int do_keep_resources(struct run *r, const struct step_keep_resources *s) {
  int error = container_keep(r->container, "resources.json", TEXT(data), strlen(TEXT(data)));
  return error ? failing(r, "resources.json", error) : 0;
}

int do_nothing(struct run *r, const struct step_nothing *s) {
  (void)r;
  (void)s;
  return 0;
}

int do_warn(struct run *r, const struct step_warn *s) {
  log_line("warning", TEXT(message));
  return 0;
}

int do_open_socket(struct run *r, const struct step_open_socket *s) {
  int fd = unix_socket(SOCK_STREAM, TEXT(path), strlen(TEXT(path)), SYS_connect);
  if (fd == -ETIMEDOUT) return no_answer(r, "connect");
  if (fd < 0) return failing(r, "connect", fd);
  r->fds[s->fd] = fd;
  return 0;
}

int do_close(struct run *r, const struct step_close *s) {
  sys_close(r->fds[s->fd]);
  r->fds[s->fd] = -1;
  return 0;
}

// One descriptor, with `name` as the data that must go along.
int send_descriptor(int socket, const char *name, int fd) {
  long n = send_rights(socket, name, strlen(name), &fd, 1);
  return n < 0 ? (int)n : 0;
}

int do_send_pidfd(struct run *r, const struct step_send_pidfd *s) {
  int error = send_descriptor(r->fds[s->fd], "pidfd", r->child.pidfd);
  if (error == -EAGAIN) return no_answer(r, "sendmsg");
  return error ? failing(r, "sendmsg", error) : 0;
}

// A file that has no name until it is whole: whenever we are killed, none is left that is not.
static void prepare_pid_file(struct run *r, const char *path) {
  BUFFER(directory, 4096);
  BUFFER(number, 24);
  const char *slash = strrchr(path, '/');
  put_bytes(&directory, path, slash ? (size_t)(slash + 1 - path) : 0);
  put_number(&number, r->child.pid);
  sys_close(r->pid_file);
  r->pid_file = sys_open(AT_FDCWD, slash ? directory.data : ".", O_WRONLY | O_TMPFILE, 0644);
  if (r->pid_file >= 0 && write_all(r->pid_file, number.data, number.used)) sys_close(release(&r->pid_file));
}

int do_prepare_pid_file(struct run *r, const struct step_prepare_pid_file *s) {
  prepare_pid_file(r, TEXT(path));
  return 0;
}

static int name_file(int fd, const char *path) {
  BUFFER(link, 64);
  format(&link, "/proc/self/fd/%d", fd);
  return (int)sys5(SYS_linkat, AT_FDCWD, link.data, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

// Where the file system has no files without names: under one that nobody looks for.
static int write_named(struct run *r, const char *path) {
  BUFFER(number, 24);
  put_number(&number, r->child.pid);
  CLOSING int fd = sys_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  return fd < 0 ? fd : write_all(fd, number.data, number.used);
}

int do_write_pid_file(struct run *r, const struct step_write_pid_file *s) {
  BUFFER(temporary, 4096);
  const char *path = TEXT(path), *slash = strrchr(path, '/');
  size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
  if (r->pid_file < 0) prepare_pid_file(r, path);
  if (r->pid_file >= 0 && !name_file(r->pid_file, path)) return 0;
  // One that is there, of a process before, is there until the new one takes its place.
  put_bytes(&temporary, path, folder);
  format(&temporary, ".%s.%d", path + folder, (int)sys0(SYS_getpid));
  if (temporary.full) return failing(r, "open", -ENAMETOOLONG);
  int error = r->pid_file >= 0 ? name_file(r->pid_file, temporary.data) : write_named(r, temporary.data);
  if (!error) error = (int)sys4(SYS_renameat, AT_FDCWD, temporary.data, AT_FDCWD, path);
  if (error) sys_unlink(AT_FDCWD, temporary.data, 0);
  return error ? failing(r, "write", error) : 0;
}
