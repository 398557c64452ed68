// Steps on namespaces and what belongs to them: id maps, root in a user namespace, keyring, network.

#include <net/if.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <linux/futex.h>
#include <linux/keyctl.h>
#include <linux/nsfs.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>

#include "base/socket.h"
#include "base/memory.h"
#include "base/processes.h"
#include "base/trace.h"
#include "base/wait.h"
#include "commands/hook.h"
#include "executor/process_file.h"

#define KEY_POSSESSOR_ALL 0x3f000000
#define KEY_USER_ALL 0x003f0000

int do_open_namespace(struct run *r, const struct step_open_namespace *s) {
  CLOSING int fd = sys_open(AT_FDCWD, TEXT(path), O_RDONLY, 0);
  if (fd < 0) return failing(r, "open", fd);
  int kind = sys_ioctl(fd, NS_GET_NSTYPE, 0);
  if (kind < 0 || kind != NUMBER(kind))
    return failing_because(
        r, "NS_GET_NSTYPE", -EINVAL, kind < 0 ? "this is no namespace" : "this is a namespace of another type");
  r->fds[s->fd] = release(&fd);
  return 0;
}

int do_assert_not_host_namespace(struct run *r, const struct step_assert_not_host_namespace *s) {
  BUFFER(path, 64);
  struct stat theirs, ours;
  format(&path, "/proc/self/ns/%s", TEXT(file));
  int error = sys_fstat(r->fds[s->fd], &theirs);
  if (!error) error = sys_stat(AT_FDCWD, path.data, &ours, 0);
  if (error) return failing(r, "stat", error);
  if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev) return 0;
  return failing_because(r, "check", -EPERM, "the namespace that is joined by path is the host's");
}

int do_join_namespace(struct run *r, const struct step_join_namespace *s) {
  if (r->joined[s->fd]) return 0;
  int error = (int)sys2(SYS_setns, r->fds[s->fd], NUMBER(kind));
  if (error == -EPERM && s->retry_later) return 0;
  if (error < 0) return failing(r, "setns", error);
  r->joined[s->fd] = 1;
  sys_close(r->fds[s->fd]);
  return 0;
}

// Runs newuidmap or newgidmap PID CONTAINER HOST SIZE ...: set-uid programs that may map the caller's subordinate ids.
int do_run_map_helper(struct run *r, const struct step_run_map_helper *s) {
  const struct texts *folders = TEXTS(folders), *ranges = TEXTS(ranges);
  const char *none[] = {0}, **args = arena_alloc((ranges->count + 3) * sizeof *args);
  BUFFER(pid, 24);
  BUFFER(path, 64);
  if (!args) return failing(r, "mmap", -ENOMEM);
  put_number(&pid, r->child.pid);
  args[0] = TEXT(helper);
  args[1] = pid.data;
  memcpy(args + 2, ranges->items, (ranges->count + 1) * sizeof *args);
  for (uint32_t i = 0; i < folders->count; i++) {
    path.used = 0;
    format(&path, "%s%s", folders->items[i], TEXT(helper));
    if (sys4(SYS_faccessat, AT_FDCWD, path.data, X_OK, 0) < 0) continue;
    struct texts arguments = {args, ranges->count + 2};
    // The helper's own output says what it does not allow.
    return run_hook(r, path.data, &arguments, none, HELPER_SECONDS, 0, 0) ? failing(r, TEXT(helper), -EPERM) : 0;
  }
  put(&r->detail, "not found in");
  for (uint32_t i = 0; i < folders->count; i++)
    format(&r->detail, " %s", folders->items[i]);
  return failing_because(r, TEXT(helper), -ENOENT, " (Debian: package uidmap)");
}

// Maps the ids of the process that holds the user namespace, and opens the namespace.
static int hold_namespace(struct run *r, const char *uids, const char *gids, int pid) {
  int error = write_process_file(r, pid, "uid_map", uids);
  if (!error) error = write_process_file(r, pid, "gid_map", gids);
  if (error) return error;
  int fd = open_process_file(pid, "ns/user", O_RDONLY);
  return fd < 0 ? failing(r, "open", fd) : fd;
}

int do_make_id_mapping(struct run *r, const struct step_make_id_mapping *s) {
  CLOSING int ours = -1, theirs = -1, pidfd = -1;
  int error = socket_pair(SOCK_STREAM, &ours, &theirs);
  if (error < 0) return failing(r, "socketpair", error);
  long pid = clone_process(CLONE_NEWUSER, &pidfd, -1);
  if (!pid) {
    // Read until the runtime closes its end of the socket, or ends.
    sys_close(ours);
    char word;
    sys_read(theirs, &word, 1);
    sys_exit(0);
  }
  if (pid < 0) return failing(r, "clone3", (int)pid);
  int fd = hold_namespace(r, TEXT(uids), TEXT(gids), (int)pid);
  sys_close(release(&ours));
  wait_exit(pidfd, 0);
  if (fd < 0) return fd;
  r->fds[s->fd] = fd;
  return 0;
}

int do_become_root(struct run *r, const struct step_become_root *s) {
  int error = (int)sys2(SYS_setgroups, 0, 0);
  // EPERM: the namespace denies setgroups(2). The caller's groups then stay.
  if (error < 0 && error != -EPERM) return failing(r, "setgroups", error);
  error = called(r, "setresgid", sys3(SYS_setresgid, 0, 0, 0));
  if (!error) error = called(r, "setresuid", sys3(SYS_setresuid, 0, 0, 0));
  // A change of ids makes a process dumpable again.
  return error ? error : called(r, "prctl", sys_prctl(PR_SET_DUMPABLE, 0, 0));
}

// If the name is null, the kernel makes a new keyring. Otherwise it joins the oldest one of that name that the caller
// may search, whoever owns it.
static long join_keyring(const char *name) { return sys2(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name); }

// Lets its possessors search it and its owner find it by name, as runc does.
static long share_keyring(long key) { return sys3(SYS_keyctl, KEYCTL_SETPERM, key, KEY_POSSESSOR_ALL | KEY_USER_ALL); }

// Makes a new keyring. It gets the name, by which exec finds it, unless another keyring of that name comes first.
static long make_keyring(const char *name) {
  long own = join_keyring(0), named = own < 0 ? own : sys5(SYS_add_key, "keyring", name, 0, 0, own);
  if (named < 0) return own;
  if (share_keyring(named) == 0 && join_keyring(name) == named) return named;
  return join_keyring(0);
}

static int is_own_keyring(long key) {
  char text[4200]; // a name may have 4096 characters
  int64_t uid;
  long size = sys4(SYS_keyctl, KEYCTL_DESCRIBE, key, text, sizeof text); // type;uid;gid;permissions;name
  if (size < 0 || size > (long)sizeof text) return 0;
  char *owner = strchr(text, ';');
  if (!owner) return 0;
  owner[1 + strcspn(owner + 1, ";")] = 0;
  return !parse_number(owner + 1, &uid) && uid == sys0(SYS_geteuid);
}

int do_new_keyring(struct run *r, const struct step_new_keyring *s) {
  long key = r->joins ? join_keyring(TEXT(name)) : make_keyring(TEXT(name));
  if (key >= 0 && r->joins && !is_own_keyring(key)) key = join_keyring(0);
  if (key == -ENOSYS) return 0;
  if (key < 0) return failing(r, "keyctl", (int)key);
  long error = share_keyring(key);
  return error == -EACCES ? 0 : called(r, "keyctl", error);
}

// A socket of this network namespace, whose interface lo it has brought up; or a negative errno of `call`.
static int open_loopback(const char **call) {
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  *call = "socket";
  CLOSING int fd = (int)sys3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  *call = "SIOCSIFFLAGS";
  int error = sys_ioctl(fd, SIOCSIFFLAGS, &lo);
  return error < 0 ? error : release(&fd);
}

int do_loopback_up(struct run *r, const struct step_loopback_up *s) {
  const char *call;
  CLOSING int fd = open_loopback(&call);
  return fd < 0 ? failing(r, call, fd) : 0;
}

// What the thread makes: `result` is the namespace, or a negative errno of `call`. The kernel clears `works` when the
// thread has ended.
struct network {
  int works, result;
  const char *call;
  struct trace_event *event;
};

static int new_network(const char **call) {
  *call = "unshare";
  int error = (int)sys1(SYS_unshare, CLONE_NEWNET);
  if (error < 0) return error;
  CLOSING int fd = open_loopback(call);
  if (fd < 0) return fd;
  *call = "SIOCGSKNS";
  return sys_ioctl(fd, SIOCGSKNS, 0);
}

static _Noreturn void make_network(void *data) {
  struct network *network = data;
  network->result = new_network(&network->call);
  trace_end(network->event, network->result);
  end_thread();
}

static int begin_network(struct run *r) {
  static COLD_BSS char stack[4096] __attribute__((aligned(16)));
  static COLD_BSS struct network network;
  network.works = 1;
  record.thread = THREAD_NETWORK;
  network.event = trace_begin("step", "network", "", "make a network namespace and bring up its interface lo");
  record.thread = r->section;
  r->network = &network;
  long error = start_thread(stack, sizeof stack, &network.works, make_network, &network);
  if (error == -EAGAIN) put(&r->detail, NO_MORE_PROCESSES);
  return called(r, "clone3", error);
}

int do_begin_network(struct run *r, const struct step_begin_network *s) { return begin_network(r); }

int do_take_network(struct run *r, const struct step_take_network *s) {
  int error = r->network ? 0 : begin_network(r); // a Spawn is retried, and the first init had the namespace
  if (error) return error;
  const struct network *made = r->network;
  while (__atomic_load_n(&made->works, __ATOMIC_ACQUIRE))
    sys4(SYS_futex, &made->works, FUTEX_WAIT, 1, 0);
  r->network = 0;
  r->fds[s->fd] = made->result;
  return called(r, made->call, made->result);
}
