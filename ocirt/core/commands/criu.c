// restore: criu makes the processes of a container anew, as children of this one. Python has written the request
// (ocirt/criu/message.py); of criu's answers, which are protocol buffers, only a few numbers and one name are looked
// at.

#include <string.h>
#include <linux/sched.h>

#include "base/log.h"
#include "base/path.h"
#include "base/signals.h"
#include "base/socket.h"
#include "base/wait.h"
#include "executor/child.h"
#include "executor/execute.h"
#include "executor/failure.h"
#include "state/state_json.h"

#define RESTORE 2 // criu_req_type

#define NOTIFY 6

#define ANSWER_MAX 40960

#define CRIU_SECONDS 600 // so long it may say nothing: large images take long

struct answer {
  uint64_t type, success, pid;
  char script[32], error[512];
};

// ---- the child ----

int do_place_criu_root(struct run *r, const struct step_place_criu_root *s) {
  int tree = sys_open_tree(r->rootfs, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) return failing(r, "open_tree", tree);
  int error = sys_mkdir(AT_FDCWD, TEXT(path), 0700),
      at = error < 0 ? error : sys_open(AT_FDCWD, TEXT(path), O_PATH | O_DIRECTORY, 0);
  if (at >= 0) error = sys_move_mount(tree, at);
  sys_close(tree);
  sys_close(at);
  return at < 0 || error < 0 ? failing(r, at < 0 ? "mkdir" : "move_mount", at < 0 ? at : error) : 0;
}

int do_make_mount_point(struct run *r, const struct step_make_mount_point *s) {
  int fd = resolve_or_make(r->rootfs, TEXT(path), MAKE_DIRECTORY, 0755);
  if (fd < 0) return failing(r, "openat2", fd);
  sys_close(fd);
  return 0;
}

// A directory as the descriptor that Python has opened outside, but in this mount namespace: criu mounts in it.
static int open_as(const char *path, int64_t number) {
  int fd = number < 0 ? 0 : sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
  int error = number < 0 || fd < 0 ? fd : sys_dup3(fd, (int)number, 0);
  if (number >= 0) sys_close(fd);
  return error < 0 ? error : 0;
}

int do_exec_criu(struct run *r, const struct step_exec_criu *s) {
  int pair[2], error = open_as(TEXT(images), NUMBER(images_fd));
  if (!error) error = open_as(TEXT(work), NUMBER(work_fd));
  if (error) return failing(r, "open", error);
  if ((error = (int)sys4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) < 0)
    return failing(r, "socketpair", error);
  struct message ready = {.kind = MESSAGE_EVENT, .event = EVENT_READY};
  if ((error = send_message(r->peer, &ready, pair[0]))) return failing(r, "sendmsg", error);
  sys_close(pair[0]);
  BUFFER(number, 16);
  put_number(&number, pair[1]);
  const char *args[] = {"criu", "swrk", number.data, 0};
  sys_fcntl(pair[1], F_SETFD, 0);
  unblock_signals();
  return failing(r, "execve", (int)sys3(SYS_execve, TEXT(path), args, TEXTS(env)->items));
}

// ---- the answers ----

static int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  *value = 0;
  for (int shift = 0; *at < end && shift < 64; shift += 7) {
    *value |= (uint64_t)(**at & 127) << shift;
    if (*(*at)++ < 128) return 0;
  }
  return -EBADMSG;
}

// A message of varints (kind 0) and byte strings (kind 2): criu_resp, and in it its criu_notify. `error` is criu's
// first one.
static int read_answer(const uint8_t *at, const uint8_t *end, struct answer *a, int is_notify) {
  while (at < end) {
    uint64_t key, value;
    if (read_varint(&at, end, &key) || read_varint(&at, end, &value)) return -EBADMSG;
    int field = (int)(key >> 3), is_bytes = (key & 7) == 2;
    const uint8_t *bytes = at;
    if (!is_bytes && key & 7) return -EBADMSG;
    if (is_bytes && value > (uint64_t)(end - at)) return -EBADMSG;
    if (is_bytes) at += value;
    if (is_notify && field == 1 && is_bytes && value < sizeof a->script) memcpy(a->script, bytes, value);
    if (is_notify && field == 2 && !is_bytes) a->pid = value;
    if (!is_notify && field == 1 && !is_bytes) a->type = value;
    if (!is_notify && field == 2 && !is_bytes) a->success = value;
    if (!is_notify && field == 9 && is_bytes)
      memcpy(a->error, bytes, value < sizeof a->error ? value : sizeof a->error - 1);
    if (!is_notify && field == 5 && is_bytes && read_answer(bytes, at, a, 1)) return -EBADMSG;
  }
  return 0;
}

static void say(int criu, const void *data, size_t size) {
  // Whoever does not listen any more has left an answer, or is gone.
  while (sys4(SYS_sendto, criu, data, size, MSG_NOSIGNAL) == -EINTR)
    ;
}

// The next answer: 1, 0 when criu is gone, or a negative errno.
static int hear(struct run *r, int criu, struct answer *a, int *fd) {
  static COLD_BSS uint8_t data[ANSWER_MAX];
  *a = (struct answer){0};
  long n = receive_rights(criu, data, sizeof data, fd, 1);
  if (n == 0) return 0;
  if (n == -EAGAIN) format(&r->detail, "criu sent nothing for %d s", CRIU_SECONDS);
  if (n < 0) return failing(r, "recvmsg", n == -EAGAIN ? -ETIMEDOUT : (int)n);
  return read_answer(data, data + n, a, 0) ? failing(r, "criu", -EBADMSG) : 1;
}

// ---- the end ----

// The last line that names an error in criu's log, but for the one that only says that it has failed.
static void put_log_error(struct buffer *to, const char *path) {
  static COLD_BSS char text[65536];
  struct stat st;
  int fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
  if (fd < 0) return;
  long n = sys_fstat(fd, &st) < 0 ? -1 : 0;
  off_t from = st.st_size > (off_t)sizeof text - 1 ? st.st_size - (off_t)sizeof text + 1 : 0;
  if (!n) n = sys4(SYS_pread64, fd, text, sizeof text - 1, from);
  sys_close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *found = 0;
  for (char *line = text; *line;) {
    char *end = line + strcspn(line, "\n"), cut = *end;
    *end = 0;
    char *error = strstr(line, "Error (");
    size_t length = error ? strlen(error) : 0;
    if (error && (!found || length < 7 || strcmp(error + length - 7, "FAILED."))) found = error;
    line = cut ? end + 1 : end;
  }
  if (found) put(to, found);
}

static int criu_failed(struct run *r, const struct step_restore_processes *s, const struct answer *a, const char *how) {
  BUFFER(line, 512);
  put_bytes(&line, a->error, strcspn(a->error, "\n"));
  if (!line.used) put_log_error(&line, TEXT(log));
  r->detail.used = 0;
  put(&r->detail, "criu: ");
  put(&r->detail, line.used ? line.data : how);
  put(&r->detail, " (see ");
  put(&r->detail, TEXT(log));
  put(&r->detail, ")");
  return failing(r, "", -ECANCELED);
}

// ---- the step ----

// The socket to criu, from the child; or its failure, -ECHILD when it has ended or has become criu.
static int meet(struct run *r, const struct step *here) {
  struct message message;
  int fd, got = receive_message(r->peer, &message, &fd);
  if (got == 1 && message.kind == MESSAGE_FAILURE) return pass_on(r, &message, here);
  if (got == 1) return fd >= 0 ? fd : failing(r, "recvmsg", -EPROTO);
  return got < 0 ? failing(r, "recvmsg", got) : child_gone(r);
}

// Hooks and the like, here.
static int run_namespaces(struct run *r) {
  const struct step *failed;
  unsigned here = r->section;
  r->section = SECTION_AT_CRIU_NAMESPACES;
  int error = run_section(r, &failed);
  r->section = here;
  if (!error) return 0;
  BUFFER(text, LOG_LINE);
  put_failure(&text, r, failed, error);
  r->detail.used = 0;
  put(&r->detail, text.data);
  return failing(r, "", error);
}

// What has to be done within, by a process that ends with it.
static int run_within(struct run *r, unsigned section, const struct step *here) {
  if (section_first(r->program, section) == section_end(r->program, section)) return 0;
  int pair[2], pidfd = -1, status = 0, fd,
               error = (int)sys4(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
  if (error < 0) return failing(r, "socketpair", error);
  if (!container_hold(r->container)) return failing(r, "pidfd_open", -ESRCH);
  struct clone_args args = {
      .flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = 17 /* SIGCHLD */};
  long pid = sys2(SYS_clone3, &args, sizeof args);
  if (pid < 0) return failing(r, "clone3", (int)pid);
  if (!pid) {
    const struct step *failed;
    sys_prctl(1 /* PR_SET_PDEATHSIG */, 9, 0, 0);
    r->peer = pair[1];
    r->section = section;
    error = run_section(r, &failed);
    if (error < 0) child_failed(r, failed, error);
    sys_exit(0);
  }
  struct message message;
  sys_close(pair[1]);
  int got = receive_message(pair[0], &message, &fd);
  sys_close(pair[0]);
  error = wait_exit(pidfd, &status);
  sys_close(pidfd);
  if (got == 1 && message.kind == MESSAGE_FAILURE) return pass_on(r, &message, here);
  return got || error || status ? failing(r, "recvmsg", got < 0 ? got : -ECHILD) : 0;
}

// criu waits until this is done.
static int notified(struct run *r, const struct step_restore_processes *s, const struct answer *a, int fd) {
  int is_new = !strcmp(a->script, "setup-namespaces"), is_done = !strcmp(a->script, "post-restore");
  int error = is_new || is_done ? remember_init(r, (int)a->pid) : 0;
  if (error) return error;
  if (is_done) return run_within(r, SECTION_IN_RESTORED_MNTNS, &s->head);
  if (is_new) {
    error = run_within(r, SECTION_IN_CRIU_NETNS, &s->head);
    return error ? error : run_namespaces(r);
  }
  if (fd < 0 || strcmp(a->script, "orphan-pts-master")) return 0;
  if (NUMBER(console) < 0) {
    r->console = fd;
    return 0;
  }
  error = send_descriptor(r->fds[s->console], "terminal", fd);
  return error ? failing(r, "sendmsg", error) : 0;
}

int do_restore_processes(struct run *r, const struct step_restore_processes *s) {
  static const uint8_t go_on[] = {1 << 3, NOTIFY, 3 << 3, 1}; // a criu_req: type, notify_success
  struct container *c = r->container;
  struct {
    long seconds, microseconds;
  } silence = {CRIU_SECONDS, 0};
  struct answer answer;
  size_t size;
  const void *message = bytes_of(r->program, s->message, &size);
  int fd, criu, status = 0;
  if ((criu = meet(r, &s->head)) < 0) return criu;
  sys5(SYS_setsockopt, criu, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
  say(criu, message, size);
  for (;;) {
    int got = hear(r, criu, &answer, &fd), error;
    if (got < 0) return got;
    if (!got) {
      // Perhaps it has not come to be criu.
      got = meet(r, &s->head);
      return got == -ECHILD ? criu_failed(r, s, &answer, "it died") : got;
    }
    if (!answer.success) return criu_failed(r, s, &answer, "it failed");
    if (answer.type == RESTORE) break;
    if (answer.type != NOTIFY) return failing(r, "criu", -EPROTO);
    if ((error = notified(r, s, &answer, fd))) return error;
    say(criu, go_on, sizeof go_on);
  }
  sys_close(criu);
  int error = wait_exit(r->child.pidfd, &status);
  sys_close(r->child.pidfd);
  r->child.pidfd = -1;
  if (error || status) return criu_failed(r, s, &answer, "it did not end well");
  if (!container_hold(c)) return criu_failed(r, s, &answer, "the container's first process has just ended");
  sys_unlink(AT_FDCWD, TEXT(root), AT_REMOVEDIR); // delete takes it, too
  r->child.pid = c->journal->pid;
  struct buffer text = state_buffer(r->program);
  put_state(&text, r->program, c->journal, c->journal->pid, "running", 0, 1);
  if ((error = container_keep(c, "state.json", text.data, text.used))) return failing(r, "state.json", error);
  __atomic_store_n(&c->journal->phase, PHASE_RUNNING, __ATOMIC_SEQ_CST);
  if (r->stays) log_line("warning", r->stays);
  return 0;
}
