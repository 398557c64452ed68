// Attributes that a process has by one system call each: limits, scheduling, umask, affinity, memory policy.
#include "process/attributes.h"

#include <string.h>
#include <sys/resource.h>
#include <linux/magic.h>

#include "base/caller.h"
#include "base/files.h"
#include "mount/views.h"

#define MOST_CPUS 8192 // that a kernel can be built for

int do_reset_affinity(struct run *r, const struct step_reset_affinity *s) {
  uint8_t all[MOST_CPUS / 8];
  (void)r;
  (void)s;
  memset(all, 0xff, sizeof all);
  // Where a policy forbids it the caller's affinity stays, which takes nothing from anybody.
  sys3(SYS_sched_setaffinity, 0, sizeof all, all);
  return 0;
}

int do_restore_open_files(struct run *r, const struct step_restore_open_files *s) {
  (void)s;
  int error = restore_open_files();
  return error < 0 ? failing(r, "prlimit", error) : 0;
}

int own_proc(struct run *r) {
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

void explain_set_rlimit(struct run *r, const struct step_set_rlimit *s, int error) {
  struct limit now;
  if (error != -EPERM || sys4(SYS_prlimit64, 0, s->resource, 0, &now)) return;
  put(&r->detail, "found a hard limit of ");
  put_limit(&r->detail, s->hard);
  put(&r->detail, ", expected at most the runtime's own, ");
  put_limit(&r->detail, now.hard);
  put(&r->detail, ": more takes CAP_SYS_RESOURCE");
  if (s->resource == RLIMIT_NOFILE) put(&r->detail, ", and never more than the sysctl fs.nr_open");
}

void explain_set_memory_policy(struct run *r, const struct step_set_memory_policy *s, int error) {
  (void)s;
  if (error == -EINVAL)
    put(&r->detail,
        "/sys/devices/system/node/possible has this kernel's nodes; an old one does not know every mode and flag");
}
