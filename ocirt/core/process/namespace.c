// Steps on namespaces and on what belongs to them: id maps, time offsets, names, keyring, loopback.

#include <net/if.h>
#include <string.h>
#include <linux/keyctl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>

#include "base/wait.h"
#include "commands/hook.h"

#define KEY_POSSESSOR_ALL 0x3f000000

#define KEY_USER_ALL 0x003f0000

int do_open_namespace(struct run *r, const struct step_open_namespace *s) {
  int fd = sys_open(AT_FDCWD, TEXT(path), O_RDONLY, 0);
  if (fd < 0) return failing(r, "open", fd);
  int kind = sys_ioctl(fd, NS_GET_NSTYPE, 0);
  if (kind < 0 || kind != NUMBER(kind)) {
    sys_close(fd);
    put(&r->detail, kind < 0 ? "this is no namespace" : "this is a namespace of another type");
    return failing(r, "NS_GET_NSTYPE", -EINVAL);
  }
  r->fds[s->fd] = fd;
  return 0;
}

int do_assert_not_host_namespace(struct run *r, const struct step_assert_not_host_namespace *s) {
  BUFFER(path, 64);
  struct stat theirs, ours;
  put(&path, "/proc/self/ns/");
  put(&path, TEXT(file));
  int error = sys_fstat(r->fds[s->fd], &theirs);
  if (!error) error = sys_stat(AT_FDCWD, path.data, &ours, 0);
  if (error) return failing(r, "stat", error);
  if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev) return 0;
  put(&r->detail, "the namespace that is joined by path is the host's");
  return failing(r, "check", -EPERM);
}

int do_join_namespace(struct run *r, const struct step_join_namespace *s) {
  if (r->joined[s->fd]) return 0;
  int error = (int)sys2(SYS_setns, r->fds[s->fd], NUMBER(kind));
  if (error == -EPERM && s->early) return 0;
  if (error < 0) return failing(r, "setns", error);
  r->joined[s->fd] = 1;
  sys_close(r->fds[s->fd]);
  return 0;
}

int do_unshare(struct run *r, const struct step_unshare *s) {
  int error = (int)sys1(SYS_unshare, NUMBER(flags));
  return error < 0 ? failing(r, "unshare", error) : 0;
}

int do_set_dumpable(struct run *r, const struct step_set_dumpable *s) {
  int error = sys_prctl(4 /* PR_SET_DUMPABLE */, (unsigned long)NUMBER(value), 0, 0);
  return error < 0 ? failing(r, "prctl", error) : 0;
}

static int write_proc_file(struct run *r, int pid, const char *file, const char *value) {
  BUFFER(path, 64);
  put(&path, "/proc/");
  put_number(&path, pid);
  put(&path, "/");
  put(&path, file);
  int fd = sys_open(AT_FDCWD, path.data, O_WRONLY, 0);
  if (fd < 0) return failing(r, "open", fd);
  // One write: the kernel takes the whole map or nothing.
  long n = sys_write(fd, value, strlen(value));
  sys_close(fd);
  return n < 0 ? failing(r, "write", (int)n) : 0;
}

int do_set_oom_score(struct run *r, const struct step_set_oom_score *s) {
  int fd = sys_open(AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0);
  if (fd < 0) return failing(r, "open", fd);
  long n = sys_write(fd, TEXT(value), strlen(TEXT(value)));
  sys_close(fd);
  return n < 0 ? failing(r, "write", (int)n) : 0;
}

int do_deny_setgroups(struct run *r, const struct step_deny_setgroups *s) {
  (void)s;
  return write_proc_file(r, r->child.pid, "setgroups", "deny");
}

// newuidmap PID CONTAINER HOST SIZE ...: set-uid programs that may map the caller's subordinate ids.
static int run_map_helper(struct run *r, const char *helper, const char *map) {
  static char words[4096], pid[24];
  const char *args[64] = {helper, pid};
  struct buffer number = {pid, sizeof pid, 0, 0};
  unsigned count = 2;
  put_number(&number, r->child.pid);
  if (strlen(map) >= sizeof words) return failing(r, helper, -E2BIG);
  strcpy(words, map);
  for (char *at = words; *at;) {
    at += strspn(at, " \n");
    if (!*at) break;
    if (count >= COUNT(args) - 1) return failing(r, helper, -E2BIG);
    args[count++] = at;
    at += strcspn(at, " \n");
    if (*at) *at++ = 0;
  }
  static const char *const folders[] = {"/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/", "/sbin/"};
  for (unsigned i = 0; i < COUNT(folders); i++) {
    BUFFER(path, 64);
    put(&path, folders[i]);
    put(&path, helper);
    if (sys4(SYS_faccessat, AT_FDCWD, path.data, 1 /* X_OK */, 0) < 0) continue;
    const char *none[] = {0};
    struct texts arguments = {args, count};
    // The helper says by itself what it does not allow.
    return run_hook(r, path.data, &arguments, none, 60, 0, 0) ? failing(r, helper, -EPERM) : 0;
  }
  put(&r->detail, "not found in /usr/bin, /bin, /usr/local/bin, /usr/sbin or /sbin (Debian: package uidmap)");
  return failing(r, helper, -ENOENT);
}

int do_write_id_map(struct run *r, const struct step_write_id_map *s) {
  if (*TEXT(helper)) return run_map_helper(r, TEXT(helper), TEXT(map));
  return write_proc_file(r, r->child.pid, TEXT(file), TEXT(map));
}

// A process that only holds its new user namespace until that has been opened.
static int hold_namespace(struct run *r, const char *uids, const char *gids, int pid) {
  BUFFER(path, 64);
  int error = write_proc_file(r, pid, "uid_map", uids);
  if (!error) error = write_proc_file(r, pid, "gid_map", gids);
  if (error) return error;
  put(&path, "/proc/");
  put_number(&path, pid);
  put(&path, "/ns/user");
  int fd = sys_open(AT_FDCWD, path.data, O_RDONLY, 0);
  return fd < 0 ? failing(r, "open", fd) : fd;
}

int do_make_id_mapping(struct run *r, const struct step_make_id_mapping *s) {
  int pidfd = -1, pair[2], status;
  int error = (int)sys4(SYS_socketpair, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
  if (error < 0) return failing(r, "socketpair", error);
  struct clone_args args = {
      .flags = CLONE_NEWUSER | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = 17};
  long pid = sys2(SYS_clone3, &args, sizeof args);
  if (!pid) {
    // Until our end of the socket is closed, by us or by our end.
    sys_close(pair[0]);
    char word;
    sys_read(pair[1], &word, 1);
    sys_exit(0);
  }
  sys_close(pair[1]);
  if (pid < 0) {
    sys_close(pair[0]);
    return failing(r, "clone3", (int)pid);
  }
  int fd = hold_namespace(r, TEXT(uids), TEXT(gids), (int)pid);
  sys_close(pair[0]);
  wait_exit(pidfd, &status);
  sys_close(pidfd);
  if (fd < 0) return fd;
  r->fds[s->fd] = fd;
  return 0;
}

int do_write_time_offsets(struct run *r, const struct step_write_time_offsets *s) {
  return write_proc_file(r, (int)sys0(SYS_getpid), "timens_offsets", TEXT(offsets));
}

int do_become_root(struct run *r, const struct step_become_root *s) {
  (void)s;
  int error = (int)sys2(SYS_setgroups, 0, 0);
  // EPERM: the namespace denies setgroups, and the caller's groups are none of its business.
  if (error < 0 && error != -EPERM) return failing(r, "setgroups", error);
  if ((error = (int)sys3(SYS_setresgid, 0, 0, 0)) < 0) return failing(r, "setresgid", error);
  if ((error = (int)sys3(SYS_setresuid, 0, 0, 0)) < 0) return failing(r, "setresuid", error);
  // A change of ids makes a process dumpable again.
  return (error = sys_prctl(4 /* PR_SET_DUMPABLE */, 0, 0, 0)) < 0 ? failing(r, "prctl", error) : 0;
}

// A name that is null makes a new keyring always; by a name the kernel finds the oldest that may be searched, whoever
// owns it.
static long join_keyring(const char *name) {
  return sys2(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
}

// Whoever possesses it may find keys in it, and its owner may find it by its name, as runc sets it.
static long share_keyring(long key) {
  return sys3(SYS_keyctl, KEYCTL_SETPERM, key, KEY_POSSESSOR_ALL | KEY_USER_ALL);
}

// A container's: new, with the name where no other has taken it, so that exec finds it.
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
  char *owner = text + strcspn(text, ";");
  if (!*owner) return 0;
  owner++;
  owner[strcspn(owner, ";")] = 0;
  return !parse_number(owner, &uid) && uid == sys0(SYS_geteuid);
}

int do_new_keyring(struct run *r, const struct step_new_keyring *s) {
  long key = r->joins ? join_keyring(TEXT(name)) : make_keyring(TEXT(name));
  if (key >= 0 && r->joins && !is_own_keyring(key)) key = join_keyring(0);
  if (key == -ENOSYS) return 0;
  if (key < 0) return failing(r, "keyctl", (int)key);
  long error = share_keyring(key);
  return error < 0 && error != -EACCES ? failing(r, "keyctl", (int)error) : 0;
}

int do_set_hostname(struct run *r, const struct step_set_hostname *s) {
  int error = (int)sys2(SYS_sethostname, TEXT(name), strlen(TEXT(name)));
  return error < 0 ? failing(r, "sethostname", error) : 0;
}

int do_set_domainname(struct run *r, const struct step_set_domainname *s) {
  int error = (int)sys2(SYS_setdomainname, TEXT(name), strlen(TEXT(name)));
  return error < 0 ? failing(r, "setdomainname", error) : 0;
}

static int network_socket(void) {
  return (int)sys3(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

int do_open_network(struct run *r, const struct step_open_network *s) {
  int fd = network_socket();
  if (fd < 0) return failing(r, "socket", fd);
  r->fds[s->fd] = fd;
  return 0;
}

int do_loopback_up(struct run *r, const struct step_loopback_up *s) {
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = NUMBER(socket) >= 0 ? r->fds[s->socket] : network_socket();
  if (fd < 0) return failing(r, "socket", fd);
  int error = sys_ioctl(fd, 0x8914 /* SIOCSIFFLAGS */, &lo);
  sys_close(fd);
  if (NUMBER(socket) >= 0) r->fds[s->socket] = -1; // it would keep the namespace
  return error < 0 ? failing(r, "SIOCSIFFLAGS", error) : 0;
}
