// Steps that give the process the identity of config.json's `process`: user, capabilities, directory, descriptors.

#include <string.h>
#include <linux/capability.h>
#include <linux/prctl.h>

#include "base/fault.h"
#include "base/files.h"
#include "base/memory.h"
#include "process/attributes.h"

int do_drop_bounding(struct run *r, const struct step_drop_bounding *s) {
  for (unsigned long capability = 0; capability < 64; capability++) {
    if (s->keep & 1ull << capability) continue;
    int error = sys_prctl(PR_CAPBSET_DROP, capability, 0);
    if (error == -EINVAL) break; // past the last one this kernel knows
    // A process without CAP_SETPCAP may drop none, and need not drop one that it lacks.
    if (error == -EPERM && !sys_prctl(PR_CAPBSET_READ, capability, 0)) continue;
    if (error < 0) return failing(r, "PR_CAPBSET_DROP", error);
  }
  return 0;
}

// Makes the container's user the owner of the standard streams, so that it can reopen them (/dev/stdout). C decides,
// because only this process can see what the caller's streams are. As in runc, the container's own null device replaces
// the host's: it does not lead to the host's mounts, and criu can save it.
static void give_streams(uint32_t uid) {
  struct stat st = {0}, own;
  CLOSING int null = -1;
  for (int fd = 0; fd < 3; fd++) {
    if (!is_null_device(fd, &st)) {
      if (st.st_uid != uid) sys3(SYS_fchown, fd, uid, -1); // may fail: on a read-only file system, for one
      continue;
    }
    if (null < 0) null = sys_open(AT_FDCWD, "/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK, 0);
    if (is_null_device(null, &own) && st.st_dev != own.st_dev) sys_dup3(null, fd, 0);
  }
}

// Does the user namespace deny setgroups(2)? If not, EPERM is a failure: the caller's groups would stay.
static int setgroups_is_denied(struct run *r) {
  char text[8] = "";
  if (own_proc(r) >= 0) read_file(r->proc, "self/setgroups", text, sizeof text);
  sys_close(release(&r->proc));
  return !strncmp(text, "deny", strlen("deny"));
}

// setresuid(2) or setresgid(2). The kernel gives EINVAL for an id that the user namespace does not map.
static int set_id(struct run *r, const char *call, long number, const char *name, int64_t id) {
  long error = sys3(number, id, id, id);
  if (error == -EINVAL)
    format(&r->detail, "found the %s %l, expected one that linux.%sMappings maps into the container's user namespace",
        name, id, name);
  return called(r, call, error);
}

// A joined user namespace may deny setgroups(2). That is no failure if there is no group to set.
static int set_groups(struct run *r, const struct texts *texts) {
  uint32_t *groups = arena_alloc((texts->count + 1) * sizeof *groups);
  if (!groups) return failing(r, "mmap", -ENOMEM);
  for (uint32_t i = 0; i < texts->count; i++) {
    int64_t group;
    if (parse_number(texts->items[i], &group)) return failing(r, "setgroups", -EINVAL);
    groups[i] = (uint32_t)group;
  }
  long error = sys2(SYS_setgroups, texts->count, groups);
  return error == -EPERM && !texts->count && setgroups_is_denied(r) ? 0 : called(r, "setgroups", error);
}

int do_set_user(struct run *r, const struct step_set_user *s) {
  give_streams((uint32_t)s->uid);
  int error = s->setgroups ? set_groups(r, TEXTS(groups)) : 0;
  if (!error) error = called(r, "prctl", sys_prctl(PR_SET_KEEPCAPS, 1, 0));
  if (!error) error = set_id(r, "setresgid", SYS_setresgid, "gid", NUMBER(gid));
  if (!error) error = set_id(r, "setresuid", SYS_setresuid, "uid", NUMBER(uid));
  if (!error) error = called(r, "prctl", sys_prctl(PR_SET_KEEPCAPS, 0, 0));
  return error ? error : called(r, "prctl", sys_prctl(PR_SET_DUMPABLE, 0, 0));
}

int do_set_capabilities(struct run *r, const struct step_set_capabilities *s) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++)
    data[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(s->effective >> 32 * i),
        .permitted = (uint32_t)(s->permitted >> 32 * i),
        .inheritable = (uint32_t)(s->inheritable >> 32 * i)};
  int error = called(r, "capset", sys2(SYS_capset, &head, data));
  if (!error) error = called(r, "PR_CAP_AMBIENT", sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0));
  for (unsigned capability = 0; capability < 64 && !error; capability++)
    if (s->ambient & 1ull << capability)
      error = called(r, "PR_CAP_AMBIENT", sys_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability));
  return error;
}

// A program has this step twice: with the runtime's rights, then as the container's user. If the first succeeds, it
// does not matter that the second is denied, because the process is in the directory already; runc and crun do the
// same.
int do_change_directory(struct run *r, const struct step_change_directory *s) {
  char now[4096];
  int error = sys_chdir(TEXT(path)), is_denied = error == -EACCES || error == -EPERM;
  if (is_denied && s->retry_later) return 0;
  if (error < 0 && !(is_denied && r->in_directory)) return failing(r, "chdir", error);
  r->in_directory = 1;
  // A directory outside the root (a descriptor of the host, a magic link) has no path here.
  long n = sys2(SYS_getcwd, now, sizeof now);
  if (n >= 0 && now[0] == '/') return 0;
  return failing_because(r, "getcwd", n < 0 ? (int)n : -EXDEV, "the directory lies outside the container's root");
}

// Closes all descriptors from `first` on except those in `kept`, which may hold -1.
static int close_but(unsigned first, const int *kept, unsigned count) {
  for (unsigned next = 0; next != ~0u; first = next + 1) {
    next = ~0u;
    for (unsigned i = 0; i < count; i++)
      if (kept[i] >= 0 && (unsigned)kept[i] >= first && (unsigned)kept[i] < next) next = (unsigned)kept[i];
    int error = next == first ? 0 : sys_close_range(first, next == ~0u ? next : next - 1, 0);
    if (error) return error;
  }
  return 0;
}

// A process that holds an open directory of the host can leave the container through /proc/self/fd/N/.. as its program
// or its working directory (CVE-2024-21626). So the runtime leaves open only sockets, a pidfd, the rootfs and the files
// for the output of startContainer hooks: none of them is a directory of the host. The first `preserve` are the
// caller's.
int do_close_descriptors(struct run *r, const struct step_close_descriptors *s) {
  const int64_t registers[] = {NUMBER(keep), NUMBER(stdout), NUMBER(stderr)};
  int kept[10] = {r->peer, r->start_socket, r->rootfs, r->container->pidfd, -1, -1, -1, -1, -1, -1};
  fault_descriptors(kept + 4);
  for (unsigned i = 0; i < COUNT(registers); i++)
    if (registers[i] >= 0) kept[7 + i] = r->fds[registers[i]];
  int error = close_but(3 + (unsigned)s->preserve, kept, COUNT(kept));
  if (error) return failing(r, "close_range", error);
  memset(r->fds, -1, sizeof r->fds);
  for (unsigned i = 0; i < COUNT(registers); i++)
    if (registers[i] >= 0) r->fds[registers[i]] = kept[7 + i];
  r->proc = r->null = r->empty = -1;
  return 0;
}
