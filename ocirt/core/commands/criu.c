// restore: criu makes the processes of a container anew, as children of the runtime. A Python helper talks to criu.

#include <linux/prctl.h>

#include "base/log.h"
#include "base/signals.h"
#include "base/socket.h"
#include "base/trace.h"
#include "base/wait.h"
#include "commands/helper.h"
#include "executor/child.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "state/state_json.h"

int do_place_criu_root(struct run *r, const struct step_place_criu_root *s) {
  CLOSING int tree = sys_open_tree(r->rootfs, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  int error = called(r, "open_tree", tree);
  if (!error) error = called(r, "mkdir", sys_mkdir(AT_FDCWD, TEXT(path), 0700));
  if (error) return error;
  CLOSING int at = sys_open(AT_FDCWD, TEXT(path), O_PATH | O_DIRECTORY, 0);
  return at < 0 ? failing(r, "open", at) : called(r, "move_mount", sys_move_mount(tree, at));
}

// Replaces a descriptor that Python opened outside with the same directory in this mount namespace, where criu mounts.
static int open_as(const char *path, int64_t number) {
  if (number < 0) return 0;
  CLOSING int fd = sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  int error = fd < 0 ? fd : sys_dup3(fd, (int)number, 0);
  return error < 0 ? error : 0;
}

int do_exec_criu(struct run *r, const struct step_exec_criu *s) {
  int ours, theirs, error = open_as(TEXT(images), NUMBER(images_fd));
  if (!error) error = open_as(TEXT(work), NUMBER(work_fd));
  if (error) return failing(r, "open", error);
  if ((error = socket_pair(SOCK_SEQPACKET, &ours, &theirs)) < 0) return failing(r, "socketpair", error);
  struct message ready = {.kind = MESSAGE_EVENT, .event = EVENT_READY};
  if ((error = send_message(r->peer, &ready, &theirs, 1))) return failing(r, "sendmsg", error);
  sys_close(theirs);
  BUFFER(number, 16);
  put_number(&number, ours);
  const char *args[] = {"criu", "swrk", number.data, 0};
  sys_fcntl(ours, F_SETFD, 0);
  unblock_signals();
  return failing(r, "execve", (int)sys3(SYS_execve, TEXT(path), args, TEXTS(env)->items));
}

// Receives criu's socket, or the failure, from the child.
int do_meet_criu(struct run *r, const struct step_meet_criu *s) {
  struct message message;
  int fd, got = await_message(r->container, r->peer, &message, &fd, 1);
  if (got < 0) return failing(r, "recvmsg", got);
  if (got == 0) return child_gone(r);
  if (message.kind == MESSAGE_FAILURE) return pass_on(r, &message);
  r->fds[s->fd] = fd;
  return fd < 0 ? failing(r, "recvmsg", -EPROTO) : 0;
}

// Reads the pid that the helper has printed, and opens the pidfd while criu still holds the process back.
static int remember_restored(struct run *r, int output) {
  char text[24] = "";
  int64_t pid = 0;
  long n = sys4(SYS_pread64, output, text, sizeof text - 1, 0);
  if (n > 0 && text[n - 1] == '\n') text[n - 1] = 0;
  if (parse_number(text, &pid) || pid <= 0) return failing(r, "criu", -EPROTO);
  sys_close(release(&r->container->pidfd));
  int error = remember_init(r, (int)pid);
  return error || container_hold(r->container) ? error : failing(r, "pidfd_open", -ESRCH);
}

int do_talk_to_criu(struct run *r, const struct step_talk_to_criu *s) {
  char byte;
  CLOSING int ours = -1, theirs = -1, output = -1;
  int error = NUMBER(console) < 0 ? socket_pair(SOCK_STREAM, &ours, &theirs) : 0;
  if (error) return failing(r, "socketpair", error);
  struct command command = {.fds = {r->fds[s->criu], NUMBER(console) < 0 ? theirs : r->fds[s->console]}, .n_fds = 2};
  // If the child could not execute criu, the conversation ends at once, and the child's report is the failure.
  if ((error = run_helper(r, "criu", TEXT(data), &command, &output))) return earlier_report(r, error);
  sys_close(release(&theirs));
  if (ours >= 0 && r->console < 0) receive_rights(ours, &byte, sizeof byte, &r->console, 1);
  return *TEXT(until) ? remember_restored(r, output) : 0;
}

int do_run_within(struct run *r, const struct step_run_within *s) {
  int status = 0, fd;
  CLOSING int ours = -1, theirs = -1, pidfd = -1;
  if (!container_hold(r->container)) return failing(r, "pidfd_open", -ESRCH);
  int error = socket_pair(SOCK_SEQPACKET, &ours, &theirs);
  if (error < 0) return failing(r, "socketpair", error);
  long pid = clone_process(0, &pidfd, -1);
  if (pid < 0) return failing(r, "clone3", (int)pid);
  if (!pid) {
    sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0);
    r->peer = theirs;
    trace_become((unsigned)s->section);
    run_or_report(r, (unsigned)s->section);
    sys_exit(0);
  }
  struct message message;
  sys_close(release(&theirs));
  int got = await_message(r->container, ours, &message, &fd, 1);
  error = wait_exit(pidfd, &status);
  if (got == 1 && message.kind == MESSAGE_FAILURE) return pass_on(r, &message);
  return got || error || status ? failing(r, "recvmsg", got < 0 ? got : -ECHILD) : 0;
}

int do_finish_restore(struct run *r, const struct step_finish_restore *s) {
  struct container *c = r->container;
  int status = 0, error = wait_exit(r->child.pidfd, &status);
  sys_close(release(&r->child.pidfd));
  if (error || status) return whole_failure(r, -ECANCELED, "criu: it did not end well (see %s)", TEXT(log));
  sys_unlink(AT_FDCWD, TEXT(root), AT_REMOVEDIR); // delete removes it, too
  r->child.pid = c->journal->pid;
  struct buffer text = state_json(r->program, c->journal, c->journal->pid, "running", -1, 1);
  if ((error = container_keep(c, "state.json", text.data, text.used))) return failing(r, "state.json", error);
  __atomic_store_n(&c->journal->phase, PHASE_RUNNING, __ATOMIC_SEQ_CST);
  if (r->cgroup_warning) log_line("warning", r->cgroup_warning);
  return 0;
}
