#include "launch/machine.h"

#include <string.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <unistd.h>

#include "base/cgroupfs.h"
#include "base/files.h"

static void put_memberships(struct buffer *to, int own) {
  static char text[8192];
  if (read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) <= 0) return;
  for (char *rest = text, *line; (line = next_line(&rest));) {
    char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : 0;
    if (path && !own) *path = 0;
    format(to, "%s\n", line);
  }
}

static void put_capabilities(struct buffer *to) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  sys2(SYS_capget, &head, data);
  put_number(to, (int64_t)((uint64_t)data[1].permitted << 32 | data[0].permitted));
}

static int put_bounded(struct buffer *to, const char *mask) {
  int64_t bits, found = 0;
  if (parse_number(mask, &bits)) return -1;
  for (unsigned long i = 0; i < 63; i++)
    if (bits >> i & 1 && sys_prctl(PR_CAPBSET_READ, i, 0) == 1) found |= (int64_t)1 << i;
  put_number(to, found);
  return 0;
}

static void put_device(struct buffer *to, const char *path, int *cgroupfs) {
  struct stat st;
  int dir = beneath_cgroupfs(cgroupfs, &path);
  if (sys_stat(dir, path, &st, 0) < 0)
    put(to, "-");
  else
    put_number(to, (int64_t)st.st_dev);
}

int observe(char kind, const char *of, int *cgroupfs, struct buffer *found) {
  switch (kind) {
  case 'i':
    format(found, "%l %l", sys0(SYS_geteuid), sys0(SYS_getegid));
    return 1;
  case 'c':
    put_capabilities(found);
    return 1;
  case 'b':
    return !put_bounded(found, of);
  case 'd':
    put_device(found, of, cgroupfs);
    return 1;
  case 'w':
    put_number(found, sys3(SYS_faccessat, AT_FDCWD, of, W_OK) == 0);
    return 1;
  case 'g':
  case 'o':
    put_memberships(found, kind == 'o');
    return 1;
  case 't': {
    long n = read_file(AT_FDCWD, of, found->data, found->size);
    found->used = n < 0 ? 0 : (size_t)n;
    return n >= 0;
  }
  default:
    return 0;
  }
}
