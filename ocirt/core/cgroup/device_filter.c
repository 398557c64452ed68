// Device filters of cgroup v2: BPF programs of type BPF_PROG_TYPE_CGROUP_DEVICE. The program comes from the plan.

#include <string.h>
#include <linux/bpf.h>

#include "cgroup/hierarchy.h"

#define NAME "ocirt_devices" // by which the next LoadDeviceFilter on the cgroup finds this filter
#define ATTACHED 64 // more than a cgroup can have

static int bpf(int command, union bpf_attr *attr) { return (int)sys3(SYS_bpf, command, attr, sizeof *attr); }

static int load(struct run *r, const void *filter, size_t size) {
  union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
      .insn_cnt = (uint32_t)(size / 8),
      .insns = (uint64_t)(uintptr_t)filter,
      .license = (uint64_t)(uintptr_t)"MIT",
      .prog_name = NAME};
  int fd = bpf(BPF_PROG_LOAD, &attr);
  if (fd == -EAGAIN) return load(r, filter, size); // a signal came while the kernel verified the program
  return fd < 0 ? failing(r, "BPF_PROG_LOAD", fd) : fd;
}

// The runtime's program that is attached to the cgroup: fd, or -1.
static int attached(int cgroup) {
  uint32_t ids[ATTACHED];
  union bpf_attr query = {.query = {.target_fd = (uint32_t)cgroup,
                              .attach_type = BPF_CGROUP_DEVICE,
                              .prog_ids = (uint64_t)(uintptr_t)ids,
                              .prog_cnt = ATTACHED}};
  if (bpf(BPF_PROG_QUERY, &query) < 0) return -1;
  for (uint32_t i = 0; i < query.query.prog_cnt && i < ATTACHED; i++) {
    union bpf_attr get = {.prog_id = ids[i]};
    int fd = bpf(BPF_PROG_GET_FD_BY_ID, &get);
    if (fd < 0) continue;
    struct bpf_prog_info info = {0};
    union bpf_attr ask = {
        .info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof info, .info = (uint64_t)(uintptr_t)&info}};
    if (bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) == 0 && !strcmp(info.name, NAME)) return fd;
    sys_close(fd);
  }
  return -1;
}

static int attach(struct run *r, int cgroup, const void *filter, size_t size) {
  CLOSING int program = load(r, filter, size);
  if (program < 0) return program;
  CLOSING int earlier = attached(cgroup);
  union bpf_attr attr = {.target_fd = (uint32_t)cgroup,
      .attach_bpf_fd = (uint32_t)program,
      .attach_type = BPF_CGROUP_DEVICE,
      .attach_flags = BPF_F_ALLOW_MULTI | (earlier >= 0 ? BPF_F_REPLACE : 0)};
  if (earlier >= 0) attr.replace_bpf_fd = (uint32_t)earlier;
  return called(r, "BPF_PROG_ATTACH", bpf(BPF_PROG_ATTACH, &attr));
}

int do_load_device_filter(struct run *r, const struct step_load_device_filter *s) {
  int there = is_there(r, s->hierarchy, NUMBER(skip_unwritable));
  if (there <= 0) return there;
  size_t size = 0;
  const void *filter = bytes_of(r->program, s->filter, &size);
  CLOSING int cgroup = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  int error = cgroup < 0 ? failing(r, "open", cgroup) : attach(r, cgroup, filter, size);
  return s->skip_unwritable ? 0 : error;
}
