// The memory policy of the container's process.
#include "core.h"

int do_set_memory_policy(struct run *r, const struct step_set_memory_policy *s) {
  size_t size = 0;
  const void *nodes = bytes_of(r->program, s->nodes, &size);
  // The kernel takes one bit less than it is told.
  int error = (int)sys3(SYS_set_mempolicy, s->mode, size ? nodes : 0, size ? size * 8 + 1 : 0);
  if (error == -EINVAL)
    put(&r->detail,
        "/sys/devices/system/node/possible has this kernel's nodes; an old one does not know every mode and flag");
  return error < 0 ? failing(r, "set_mempolicy", error) : 0;
}
