// Loads a seccomp filter that the program holds.
#include "executor/filter.h"

#include <linux/bpf_common.h>
#include <linux/seccomp.h>

#define INSTRUCTION 8 // bytes

int load_filter(const struct program *p, uint64_t filter, uint64_t flags) {
  size_t size = 0;
  const void *instructions = bytes_of(p, filter, &size);
  struct {
    unsigned short length;
    const void *instructions;
  } program = {(unsigned short)(size / INSTRUCTION), instructions};
  if (size / INSTRUCTION > BPF_MAXINSNS) return -E2BIG;
  return (int)sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
