// Steps that make the process what config.json's `process` says: limits, user, capabilities, directory, program.

#include <string.h>
#include <sys/sysmacros.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#include "base/fault.h"
#include "base/files.h"
#include "base/memory.h"
#include "process/attributes.h"

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

// The first time with the runtime's rights, then as the container's user. Where the first one has succeeded the user
// need not be let in: it stands there already, as with runc and crun.
int do_change_directory(struct run *r, const struct step_change_directory *s) {
  char now[4096];
  int error = sys_chdir(TEXT(path)), is_denied = error == -EACCES || error == -EPERM;
  if (is_denied && s->retry_later) return 0;
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
