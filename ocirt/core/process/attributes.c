// Steps that set attributes of the process: CPU affinity, resource limits, kernel parameters, memory policy.
#include "process/attributes.h"

#include <string.h>
#include <sys/resource.h>
#include <linux/magic.h>

#include "base/caller.h"
#include "base/files.h"
#include "mount/filesystem.h"
#include "mount/views.h"

#define MOST_CPUS 8192 // the most for which a kernel can be built (CONFIG_NR_CPUS)

int do_reset_affinity(struct run *r, const struct step_reset_affinity *s) {
  uint8_t all[MOST_CPUS / 8];
  memset(all, 0xff, sizeof all);
  // If a security policy forbids this, the process keeps the caller's affinity, which only allows fewer CPUs.
  sys3(SYS_sched_setaffinity, 0, sizeof all, all);
  return 0;
}

int do_restore_open_files(struct run *r, const struct step_restore_open_files *s) {
  return called(r, "prlimit", restore_open_files());
}

int do_raise_limit(struct run *r, const struct step_raise_limit *s) {
  struct limit now; // of the runtime: the child has inherited it
  if (sys4(SYS_prlimit64, 0, s->resource, 0, &now) || now.hard >= (uint64_t)s->hard) return 0;
  now.hard = (uint64_t)s->hard;
  sys4(SYS_prlimit64, is_host(r) ? r->child.pid : 0, s->resource, &now, 0);
  return 0;
}

int own_proc(struct run *r) {
  if (r->proc >= 0) return r->proc;
  const struct filesystem procfs = {"proc", "", 0, 0};
  r->proc = make_filesystem(r, &procfs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (r->proc >= 0) return r->proc;
  forget_detail(r);
  // The kernel refuses to mount a procfs in a user namespace that sees only part of one. Then the rootfs's /proc
  // serves, if the root of a procfs is mounted there: a bound subdirectory of one has other files by these names.
  CLOSING int fd = resolve(r->rootfs, "/proc", O_PATH | O_DIRECTORY);
  if (fd >= 0 && (filesystem_of(fd) != PROC_SUPER_MAGIC || view_of(fd) != WHOLE_VIEW)) return -ENODEV;
  return r->proc = release(&fd);
}

// Quotes the present value, which shows the form that the kernel takes.
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
  CLOSING int fd = sys_openat2(proc, TEXT(file), O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
  int is_parameter = !strncmp(TEXT(file), "sys/", 4);
  if (fd == -ENOENT && is_parameter) put(&r->detail, "this kernel has no such parameter");
  if (fd < 0) return failing(r, "open", fd);
  long n = sys_write(fd, TEXT(value), strlen(TEXT(value)));
  if (n < 0 && is_parameter) explain_parameter(r, proc, TEXT(file));
  return called(r, "write", n);
}

static void put_limit(struct buffer *to, uint64_t limit) {
  if (limit == UINT64_MAX)
    put(to, "unlimited");
  else
    put_number(to, (int64_t)limit);
}

void explain_set_rlimit(struct run *r, const struct step_set_rlimit *s, int error) {
  struct limit most = {.hard = (uint64_t)s->hard};
  int is_soft = error == -EINVAL && (uint64_t)s->soft > most.hard;
  BUFFER(wanted, 24);
  BUFFER(allowed, 24);
  if (!is_soft && (error != -EPERM || sys4(SYS_prlimit64, 0, s->resource, 0, &most))) return;
  put_limit(&wanted, (uint64_t)(is_soft ? s->soft : s->hard));
  put_limit(&allowed, most.hard);
  format(&r->detail, "found a %s limit of %s, expected at most %s, %s", is_soft ? "soft" : "hard", wanted.data,
      is_soft ? "the hard one" : "the runtime's own", allowed.data);
  if (is_soft) return;
  put(&r->detail, ": a higher one needs CAP_SYS_RESOURCE");
  if (s->resource == RLIMIT_NOFILE) put(&r->detail, ", and never more than the sysctl fs.nr_open");
}
