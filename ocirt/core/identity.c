// Steps that make the process what config.json's `process` says: limits, user, capabilities, directory, program.
#include "mount.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/prctl.h>

#include "run.h"

// A procfs of our own, so that nothing a container has put at /proc is written to instead.
static int own_proc(struct run *r) {
  if (r->proc >= 0) return r->proc;
  int context = (int)sys2(SYS_fsopen, "proc", 1), fd = -1;
  if (context >= 0 && sys5(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0) == 0)
    fd = (int)sys3(SYS_fsmount, context, 1, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  sys_close(context);
  if (fd >= 0) return r->proc = fd;
  // Not permitted (a user namespace that sees only part of a procfs): the one in the rootfs, if it is one.
  fd = resolve(r->rootfs, "/proc", O_PATH | O_DIRECTORY);
  // The root of one: a directory of it that is bound there has other files by these names.
  if (fd >= 0 && (filesystem_of(fd) != PROC_SUPER_MAGIC || view_of(fd) != WHOLE_VIEW)) {
    sys_close(fd);
    fd = -ENODEV;
  }
  return r->proc = fd;
}

// What a value that the kernel takes looks like: the one that is there.
static void explain_parameter(struct run *r, int proc, const char *file) {
  char now[256];
  long n = read_file(proc, file, now, sizeof now);
  while (n > 0 && now[n - 1] == '\n')
    now[--n] = 0;
  if (n >= 0) format(&r->detail, "the kernel has %j there", now);
}

int do_write_proc(struct run *r, const struct step_write_proc *s) {
  int proc = own_proc(r);
  if (proc < 0) return failing(r, "proc", proc);
  int fd = sys_openat2(proc, TEXT(file), O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  int is_parameter = !strncmp(TEXT(file), "sys/", 4);
  if (fd == -ENOENT && is_parameter) put(&r->detail, "this kernel has no such parameter");
  if (fd < 0) return failing(r, "open", fd);
  long n = sys_write(fd, TEXT(value), strlen(TEXT(value)));
  sys_close(fd);
  if (n < 0 && is_parameter) explain_parameter(r, proc, TEXT(file));
  return n < 0 ? failing(r, "write", (int)n) : 0;
}

static void put_limit(struct buffer *to, uint64_t limit) {
  if (limit == UINT64_MAX)
    put(to, "unlimited");
  else
    put_number(to, (int64_t)limit);
}

static int explain_limit(struct run *r, const struct step_set_rlimit *s, int error) {
  struct limit now;
  if (error == -EPERM && !sys4(SYS_prlimit64, 0, s->resource, 0, &now)) {
    put(&r->detail, "found a hard limit of ");
    put_limit(&r->detail, s->hard);
    put(&r->detail, ", expected at most the runtime's own, ");
    put_limit(&r->detail, now.hard);
    put(&r->detail, ": more takes CAP_SYS_RESOURCE");
    if (s->resource == RLIMIT_NOFILE) put(&r->detail, ", and never more than the sysctl fs.nr_open");
  }
  return failing(r, "prlimit", error);
}

int do_set_rlimit(struct run *r, const struct step_set_rlimit *s) {
  struct limit limit = {s->soft, s->hard};
  int error = (int)sys4(SYS_prlimit64, 0, s->resource, &limit, 0);
  return error < 0 ? explain_limit(r, s, error) : 0;
}

int do_set_scheduler(struct run *r, const struct step_set_scheduler *s) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attr = {.size = sizeof attr,
      .policy = (uint32_t)s->policy,
      .flags = s->flags,
      .nice = (int32_t)s->nice,
      .priority = (uint32_t)s->priority,
      .runtime = s->runtime,
      .deadline = s->deadline,
      .period = s->period};
  int error = (int)sys3(SYS_sched_setattr, 0, &attr, 0);
  return error < 0 ? failing(r, "sched_setattr", error) : 0;
}

int do_set_io_priority(struct run *r, const struct step_set_io_priority *s) {
  int error = (int)sys3(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, s->value);
  return error < 0 ? failing(r, "ioprio_set", error) : 0;
}

int do_set_personality(struct run *r, const struct step_set_personality *s) {
  int error = (int)sys1(SYS_personality, s->domain);
  return error < 0 ? failing(r, "personality", error) : 0;
}

int do_set_umask(struct run *r, const struct step_set_umask *s) {
  (void)r;
  sys1(SYS_umask, s->mask);
  return 0;
}

int do_drop_bounding(struct run *r, const struct step_drop_bounding *s) {
  for (int capability = 0; capability < 64; capability++) {
    if (s->keep & 1ull << capability) continue;
    int error = sys_prctl(PR_CAPBSET_DROP, (unsigned long)capability, 0, 0);
    if (error == -EINVAL) break; // past the last one this kernel knows
    // Who may not drop any need not drop what is not there.
    if (error == -EPERM && !sys_prctl(PR_CAPBSET_READ, (unsigned long)capability, 0, 0)) continue;
    if (error < 0) return failing(r, "PR_CAPBSET_DROP", error);
  }
  return 0;
}

static int is_null(int fd, struct stat *st) {
  return sys_fstat(fd, st) == 0 && S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

// The container's user must be able to reopen its own standard streams (/dev/stdout). A null device of the host's
// becomes the container's own, as with runc: it is no way to the host's mounts, and criu can save it.
static void give_streams(uint32_t uid) {
  struct stat st = {0}, own;
  int null = -1;
  for (int fd = 0; fd < 3; fd++) {
    if (is_null(fd, &st)) {
      if (null < 0) null = sys_open(AT_FDCWD, "/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
      if (is_null(null, &own) && st.st_dev != own.st_dev) sys_dup3(null, fd, 0);
      continue;
    }
    // Read-only and foreign files refuse, as they may.
    if (st.st_uid != uid) sys3(SYS_fchown, fd, uid, -1);
  }
  sys_close(null);
}

// Does the user namespace deny setgroups(2)? Otherwise EPERM means that the caller's groups would stay.
static int setgroups_is_denied(struct run *r) {
  char text[8] = "";
  int proc = own_proc(r);
  if (proc >= 0) read_file(proc, "self/setgroups", text, sizeof text);
  sys_close(proc);
  r->proc = -1;
  return !strncmp(text, "deny", 4);
}

// EINVAL is what the kernel says of an id that the user namespace does not have.
static int explain_id(struct run *r, const char *call, const char *name, int64_t id, int error) {
  if (error == -EINVAL)
    format(&r->detail, "found the %s %l, expected one that linux.%sMappings maps into the container's user namespace",
        name, id, name);
  return failing(r, call, error);
}

int do_set_user(struct run *r, const struct step_set_user *s) {
  const struct texts *texts = TEXTS(groups);
  uint32_t *groups = more_memory((texts->count + 1) * sizeof *groups);
  if (!groups) return failing(r, "mmap", -ENOMEM);
  for (uint32_t i = 0; i < texts->count; i++) {
    int64_t group;
    if (parse_number(texts->items[i], &group)) return failing(r, "setgroups", -EINVAL);
    groups[i] = (uint32_t)group;
  }
  give_streams((uint32_t)s->uid);
  int error = 0;
  if (s->setgroups) error = (int)sys2(SYS_setgroups, texts->count, groups);
  // A user namespace that is joined may deny it; with no group to set nothing is missed.
  if (error < 0 && (error != -EPERM || texts->count || !setgroups_is_denied(r))) return failing(r, "setgroups", error);
  if ((error = sys_prctl(PR_SET_KEEPCAPS, 1, 0, 0)) < 0) return failing(r, "prctl", error);
  if ((error = (int)sys3(SYS_setresgid, s->gid, s->gid, s->gid)) < 0)
    return explain_id(r, "setresgid", "gid", NUMBER(gid), error);
  if ((error = (int)sys3(SYS_setresuid, s->uid, s->uid, s->uid)) < 0)
    return explain_id(r, "setresuid", "uid", NUMBER(uid), error);
  if ((error = sys_prctl(PR_SET_KEEPCAPS, 0, 0, 0)) < 0) return failing(r, "prctl", error);
  return (error = sys_prctl(PR_SET_DUMPABLE, 0, 0, 0)) < 0 ? failing(r, "prctl", error) : 0;
}

int do_set_capabilities(struct run *r, const struct step_set_capabilities *s) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++)
    data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(s->effective >> 32 * i),
        .permitted = (uint32_t)(s->permitted >> 32 * i),
        .inheritable = (uint32_t)(s->inheritable >> 32 * i)};
  int error = (int)sys2(SYS_capset, &head, data);
  if (error < 0) return failing(r, "capset", error);
  if ((error = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0)) < 0)
    return failing(r, "PR_CAP_AMBIENT", error);
  for (unsigned capability = 0; capability < 64; capability++) {
    if (!(s->ambient & 1ull << capability)) continue;
    error = sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0);
    if (error < 0) return failing(r, "PR_CAP_AMBIENT", error);
  }
  return 0;
}

int do_set_no_new_privileges(struct run *r, const struct step_set_no_new_privileges *s) {
  (void)s;
  int error = sys_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0);
  return error < 0 ? failing(r, "prctl", error) : 0;
}

// The first time with the runtime's rights, then as the container's user. Where the first one has succeeded the user
// need not be let in: it stands there already, as with runc and crun.
int do_change_directory(struct run *r, const struct step_change_directory *s) {
  char now[4096];
  int error = sys_chdir(TEXT(path)), is_denied = error == -EACCES || error == -EPERM;
  if (is_denied && s->early) return 0;
  if (error < 0 && !(is_denied && r->in_directory)) return failing(r, "chdir", error);
  r->in_directory = 1;
  // A directory outside the root (a descriptor of the host, a magic link) has no path here.
  long n = sys2(SYS_getcwd, now, sizeof now);
  if (n < 0 || now[0] != '/') {
    put(&r->detail, "the directory lies outside the container's root");
    return failing(r, "getcwd", n < 0 ? (int)n : -EXDEV);
  }
  return 0;
}

// Through a directory of the host's that is open here, /proc/self/fd/N/.. leads out of the container, whether it is
// taken for the program or for its directory (CVE-2024-21626). What stays open leads nowhere: sockets, a pidfd, the
// rootfs.
int do_close_descriptors(struct run *r, const struct step_close_descriptors *s) {
  int64_t registers[] = {NUMBER(keep), NUMBER(stdout), NUMBER(stderr)};
  int kept[10] = {r->peer, r->start_socket, r->rootfs, r->container->pidfd, -1, -1, -1, -1, -1, -1}, *stay = kept + 4;
  for (unsigned i = 0; i < COUNT(registers); i++)
    if (registers[i] >= 0) stay[i] = r->fds[registers[i]];
  fault_descriptors(kept + 7);
  for (unsigned i = 1; i < COUNT(kept); i++)
    for (unsigned k = i; k && kept[k - 1] > kept[k]; k--) {
      int one = kept[k];
      kept[k] = kept[k - 1];
      kept[k - 1] = one;
    }
  int first = 3 + (int)s->preserve, error = 0;
  for (unsigned i = 0; i < COUNT(kept) && !error; i++) {
    if (kept[i] < first) continue;
    if (kept[i] > first) error = sys_close_range((unsigned)first, (unsigned)kept[i] - 1, 0);
    first = kept[i] + 1;
  }
  if (!error) error = sys_close_range((unsigned)first, ~0u, 0);
  if (error) return failing(r, "close_range", error);
  for (int64_t i = 0; i < REGISTERS; i++)
    if (i != registers[0] && i != registers[1] && i != registers[2]) r->fds[i] = -1;
  r->proc = r->null = r->empty = -1;
  return 0;
}

// ---- the program ----

#define HOME "HOME="

// What FindHome and FindExecutable have made ready for Exec: a filter may forbid it later. `home` is empty, or the
// variable.
static char executable[4096], home[4096];
static const char *const *environment;

// The last entry of `env` that sets `name` (which ends with '='), as setenv in order would leave it.
static const char *variable(const struct texts *env, const char *name) {
  size_t length = strlen(name);
  for (uint32_t i = env->count; i-- > 0;)
    if (!strncmp(env->items[i], name, length)) return env->items[i] + length;
  return 0;
}

static int try_program(const char *path) {
  struct stat st;
  int error = sys_stat(AT_FDCWD, path, &st, 0);
  if (error < 0) return error;
  if (S_ISDIR(st.st_mode)) return -EISDIR;
  error = (int)sys4(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS);
  // An old seccomp filter around the runtime refuses what it does not know. By now the real user is the effective one.
  return error == -ENOSYS || error == -EPERM ? (int)sys3(SYS_faccessat, AT_FDCWD, path, X_OK) : error;
}

// Appends the home of the user `uid` (decimal) if the line of /etc/passwd is his, and has one.
static int put_home(struct buffer *to, const char *line, const char *end, const struct buffer *uid) {
  const char *field[7] = {line};
  int fields = 1;
  for (const char *at = line; at < end && fields < 7; at++)
    if (*at == ':') field[fields++] = at + 1;
  if (fields < 7 || (size_t)(field[3] - 1 - field[2]) != uid->used || memcmp(field[2], uid->data, uid->used) ||
      field[6] - 1 == field[5])
    return 0;
  put_bytes(to, field[5], (size_t)(field[6] - 1 - field[5]));
  return 1;
}

// Goes through a file of any length line by line. A line that is longer than the store is no entry.
static int find_home_in(int passwd, struct buffer *to, const struct buffer *uid) {
  static char text[65536];
  size_t held = 0;
  long n;
  while ((n = sys_read(passwd, text + held, sizeof text - held)) > 0) {
    const char *line = text, *end;
    held += (size_t)n;
    for (; (end = memchr(line, '\n', (size_t)(text + held - line))); line = end + 1)
      if (put_home(to, line, end, uid)) return 1;
    held -= (size_t)(line - text);
    memmove(text, line, held);
    if (held == sizeof text) held = 0;
  }
  return put_home(to, text, text + held, uid);
}

int do_find_home(struct run *r, const struct step_find_home *s) {
  struct buffer to = {home, sizeof home, 0, 0};
  const char *given = variable(TEXTS(env), HOME);
  BUFFER(uid, 16);
  struct stat st;
  if (given && *given) return 0;
  put_number(&uid, NUMBER(uid));
  put(&to, HOME);
  CLOSING int passwd = resolve(r->rootfs, "/etc/passwd", O_RDONLY | O_NONBLOCK);
  if (passwd < 0 || sys_fstat(passwd, &st) < 0 || !S_ISREG(st.st_mode) || !find_home_in(passwd, &to, &uid))
    put(&to, "/");
  return 0;
}

static uint32_t hash_of_name(const char *variable) {
  uint32_t hash = 0x811c9dc5; // FNV-1a
  while (*variable && *variable != '=')
    hash = (hash ^ (unsigned char)*variable++) * 0x01000193;
  return hash;
}

// The environment of the program: of entries for one variable the last, as setenv in order would leave it, and HOME.
static const char *const *make_environment(const struct texts *env) {
  const char **all = more_memory((env->count + 2) * sizeof *all);
  uint32_t *hashes = more_memory((env->count + 1) * sizeof *hashes);
  if (!all || !hashes) return 0;
  for (uint32_t i = 0; i < env->count; i++)
    hashes[i] = hash_of_name(env->items[i]);
  uint32_t used = 0;
  for (uint32_t i = 0; i < env->count; i++) {
    size_t length = strcspn(env->items[i], "=");
    int again = *home && !strncmp(env->items[i], HOME, strlen(HOME)); // an empty one is as none
    for (uint32_t k = i + 1; k < env->count && !again; k++)
      again = hashes[i] == hashes[k] && !strncmp(env->items[i], env->items[k], length) &&
              strcspn(env->items[k], "=") == length;
    if (!again) all[used++] = env->items[i];
  }
  if (*home) all[used++] = home;
  return all;
}

int do_find_executable(struct run *r, const struct step_find_executable *s) {
  const char *name = TEXTS(args)->items[0];
  int error = -ENOENT, denied = 0;
  struct buffer path = {executable, sizeof executable, 0, 0};
  if (strchr(name, '/')) {
    put(&path, name);
    error = path.full ? -ENAMETOOLONG : try_program(path.data);
  } else if (*name) {
    const char *at = variable(TEXTS(env), "PATH=");
    for (at = at ? at : "/bin:/usr/bin"; error && at;) {
      size_t length = strcspn(at, ":");
      path.used = path.full = 0;
      if (length) {
        put_bytes(&path, at, length);
        put(&path, "/");
      } else
        put(&path, "./");
      put(&path, name);
      error = path.full ? -ENAMETOOLONG : try_program(path.data);
      if (error == -EACCES) denied = 1;
      at = at[length] ? at + length + 1 : 0;
    }
  }
  if (!error) {
    environment = make_environment(TEXTS(env));
    return environment ? 0 : failing(r, "mmap", -ENOMEM);
  }
  put(&r->detail, text_of(r->program, s->head.at));
  put(&r->detail, ": exec: ");
  put_json(&r->detail, name);
  put(&r->detail, ": ");
  if (denied || error == -EACCES)
    put(&r->detail, "permission denied");
  else if (!strchr(name, '/'))
    put(&r->detail, "executable file not found in $PATH");
  // Of the two texts, which both mean status 126 to engines, each knows one.
  else if (error == -EISDIR)
    put(&r->detail, "is a directory: permission denied");
  else {
    put(&r->detail, "stat ");
    put(&r->detail, name);
    put(&r->detail, ": ");
    put_error(&r->detail, error);
  }
  return failing(r, "", error);
}

int do_prepare_exec(struct run *r, const struct step_prepare_exec *s) {
  unsigned first = 3 + (unsigned)s->preserve;
  for (unsigned fd = 3; fd < first; fd++)
    sys_fcntl((int)fd, F_SETFD, 0);
  if (r->container->holes) hold_holes(r->container->holes, 1);
  sys_close_range(first, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
  if (r->joins) reset_signals(); // else it has been done
  unblock_signals();
  return 0;
}

// What the kernel executes in place of the file, by its first bytes: the interpreter of a script, or the loader of an
// ELF file.
static void put_interpreter(struct buffer *to, const char *path) {
  _Alignas(8) char head[4096];
  long size = read_file(AT_FDCWD, path, head, sizeof head);
  const Elf64_Ehdr *wide = (const void *)head;
  const Elf32_Ehdr *narrow = (const void *)head;
  if (size > 2 && !memcmp(head, "#!", 2)) {
    const char *start = head + 2 + strspn(head + 2, " \t");
    put_bytes(to, start, strcspn(start, " \t\n"));
  }
  if (size < (long)sizeof *wide || memcmp(head, ELFMAG, SELFMAG)) return;
  int is_wide = head[EI_CLASS] == ELFCLASS64;
  uint64_t at = is_wide ? wide->e_phoff : narrow->e_phoff, each = is_wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
  for (unsigned n = is_wide ? wide->e_phnum : narrow->e_phnum; n && at <= (uint64_t)size - each; n--, at += each) {
    Elf64_Phdr segment = {0};
    Elf32_Phdr short_one = {0};
    memcpy(is_wide ? (void *)&segment : &short_one, head + at, each);
    if (!is_wide) segment = (Elf64_Phdr){.p_type = short_one.p_type, .p_offset = short_one.p_offset};
    if (segment.p_type == PT_INTERP && segment.p_offset < (uint64_t)size) put(to, head + segment.p_offset);
  }
}

void put_exec_error(struct buffer *to, const char *path, int error) {
  struct stat st;
  BUFFER(interpreter, 256);
  put_error(to, error);
  // The file is there: what is missing is named in it.
  if (error != -ENOENT || sys_stat(AT_FDCWD, path, &st, 0) < 0) return;
  put_interpreter(&interpreter, path);
  if (interpreter.used) format(to, ": its interpreter %s is missing", interpreter.data);
}

int do_exec(struct run *r, const struct step_exec *s) {
  // The phase says running from here on; a program that cannot be executed is followed by this process' end.
  __atomic_store_n(r->child.phase, PHASE_RUNNING, __ATOMIC_SEQ_CST);
  int error = (int)sys3(SYS_execve, executable, TEXTS(args)->items, environment);
  // Taken back without a system call, which a seccomp filter may refuse by now.
  __atomic_store_n(r->child.phase, PHASE_CREATED, __ATOMIC_SEQ_CST);
  format(&r->detail, "%s: exec %s: ", text_of(r->program, s->head.at), executable);
  put_exec_error(&r->detail, executable, error);
  return failing(r, "", error);
}
