// System calls that libc lacks, or that must not go through libc's wrappers after clone3 (docs/architecture.md,
// "Raw system calls only"). All return the kernel's value, negative errno included, and leave errno alone.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <linux/memfd.h>
#include <linux/mount.h>
#include <linux/openat2.h>

#include "base/arch.h"

#ifndef OPEN_TREE_NAMESPACE
#define OPEN_TREE_NAMESPACE (1 << 1)
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif

#define SYS_L(x) ((long)(x))
#define sys0(n) sys6(n, 0, 0, 0, 0, 0, 0)
#define sys1(n, a) sys6(n, SYS_L(a), 0, 0, 0, 0, 0)
#define sys2(n, a, b) sys6(n, SYS_L(a), SYS_L(b), 0, 0, 0, 0)
#define sys3(n, a, b, c) sys6(n, SYS_L(a), SYS_L(b), SYS_L(c), 0, 0, 0)
#define sys4(n, a, b, c, d) sys6(n, SYS_L(a), SYS_L(b), SYS_L(c), SYS_L(d), 0, 0)
#define sys5(n, a, b, c, d, e) sys6(n, SYS_L(a), SYS_L(b), SYS_L(c), SYS_L(d), SYS_L(e), 0)

static inline int sys_open(int dir, const char *path, int flags, int mode) {
  return (int)sys4(SYS_openat, dir, path, flags | O_CLOEXEC, mode);
}
static inline void sys_close(int fd) {
  if (fd >= 0) sys1(SYS_close, fd);
}
// `CLOSING int fd = …;` closes the descriptor on every way out of its block; `return release(&fd);` hands it to the
// caller instead.
static inline void close_at_end(int *fd) { sys_close(*fd); }
#define CLOSING __attribute__((cleanup(close_at_end)))
static inline int release(int *fd) {
  int released = *fd;
  *fd = -1;
  return released;
}
static inline long sys_read(int fd, void *data, size_t size) { return sys3(SYS_read, fd, data, size); }
static inline long sys_write(int fd, const void *data, size_t size) { return sys3(SYS_write, fd, data, size); }
static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = resolve};
  return (int)sys4(SYS_openat2, dir, path, &how, sizeof how);
}
static inline int sys_mkdir(int dir, const char *path, int mode) { return (int)sys3(SYS_mkdirat, dir, path, mode); }
static inline int sys_unlink(int dir, const char *path, int flags) { return (int)sys3(SYS_unlinkat, dir, path, flags); }
static inline int sys_stat(int dir, const char *path, struct stat *st, int flags) {
  return (int)sys4(SYS_newfstatat, dir, path, st, flags);
}
static inline int sys_fstat(int fd, struct stat *st) { return sys_stat(fd, "", st, AT_EMPTY_PATH); }
static inline int sys_chdir(const char *path) { return (int)sys1(SYS_chdir, path); }
static inline int sys_fchdir(int fd) { return (int)sys1(SYS_fchdir, fd); }
// Makes the directory the root and the working directory.
static inline int sys_chroot(int fd) {
  int error = sys_fchdir(fd);
  return error < 0 ? error : (int)sys1(SYS_chroot, ".");
}
static inline int sys_fcntl(int fd, int command, long argument) { return (int)sys3(SYS_fcntl, fd, command, argument); }
static inline int sys_ioctl(int fd, unsigned long request, void *argument) {
  return (int)sys3(SYS_ioctl, fd, request, argument);
}
static inline int sys_prctl(int option, unsigned long a, unsigned long b) {
  return (int)sys5(SYS_prctl, option, a, b, 0, 0);
}
static inline int sys_open_tree(int dir, const char *path, unsigned flags) {
  return (int)sys3(SYS_open_tree, dir, path, flags | O_CLOEXEC);
}
static inline int sys_move_mount(int from, int to) {
  return (int)sys5(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
static inline int sys_mount_setattr(int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation) {
  struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
  return (int)sys5(SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, &attr, sizeof attr);
}
// -ESRCH also where the kernel says EINVAL, or ENOENT since Linux 6.15: the process is being reaped, or a thread of
// another process has its pid by now.
static inline int sys_pidfd_open(int pid) {
  int fd = (int)sys2(SYS_pidfd_open, pid, 0);
  return fd == -EINVAL || fd == -ENOENT ? -ESRCH : fd;
}
static inline int sys_pidfd_signal(int pidfd, int signal) {
  return (int)sys4(SYS_pidfd_send_signal, pidfd, signal, 0, 0);
}
static inline int sys_close_range(unsigned first, unsigned last, unsigned flags) {
  return (int)sys3(SYS_close_range, first, last, flags);
}
// A sealable memfd, for data (MFD_NOEXEC_SEAL) or to execute (MFD_EXEC). Since Linux 6.3 the sysctl vm.memfd_noexec may
// want this said; older kernels do not know it.
static inline int sys_memfd(const char *name, unsigned kind) {
  int fd = (int)sys2(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING | kind);
  return fd == -EINVAL ? (int)sys2(SYS_memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}
static inline int sys_dup3(int from, int to, int flags) { return (int)sys3(SYS_dup3, from, to, flags); }
static inline int sys_flock(int fd, int operation) { return (int)sys2(SYS_flock, fd, operation); }
// The container's seccomp filter may refuse even this call. Then the trap ends the process, which would else try
// forever.
static inline _Noreturn void sys_exit(int status) {
  sys1(SYS_exit_group, status);
  __builtin_trap();
}
