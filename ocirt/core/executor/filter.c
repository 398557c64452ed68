// Loads a seccomp filter that the program holds.
#include "executor/filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

int load_filter(const struct program *p, uint64_t filter, uint64_t flags) {
  size_t size = 0;
  struct sock_filter *instructions = (void *)(uintptr_t)bytes_of(p, filter, &size);
  struct sock_fprog program = {(unsigned short)(size / sizeof *instructions), instructions};
  if (size / sizeof *instructions > BPF_MAXINSNS) return -E2BIG;
  return (int)sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
