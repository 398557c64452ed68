// The kernel's own work for the container of `runc spec`, by one process and its child: what remains of a runtime that
// needs no config, keeps no state and checks nothing. Times of runtimes are compared with it.
//   floor ROOTFS CGROUP create|run     CGROUP is beneath PARENT (compile with -DPARENT) in each hierarchy
// If cgroup v2 is mounted at /sys/fs/cgroup, the child is cloned into its cgroup, which has a device filter, and binds
// it to its own /sys/fs/cgroup. Otherwise the child joins the nine hierarchies of cgroup v1, and has no mount of them.
// create: make and kill the container; run: the container executes busybox true; wait for its end. Run it in a mount
// namespace of its own (hack/floor does).
//   floor ROOTFS CGROUP ready     as create, but end when the container is ready, as a runtime's create does; prints its pid.
//                                 Where the kernel can (Linux 7), its mount namespace has the rootfs alone
//   floor remove CGROUP PID       end that container
//   floor nothing      end at once: what any process costs, and a runtime is one for each verb
//   floor exec PID     execute busybox true in all namespaces of the container of PID, and in its cgroup of v2
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOP "/sys/fs/cgroup"
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#define MOVE_MOUNT_F_EMPTY_PATH 4
#endif
#ifndef OPEN_TREE_NAMESPACE
#define OPEN_TREE_NAMESPACE 2
#endif
#define N(array) (sizeof(array) / sizeof *(array))

static void must(long result, const char *what) {
  if (result >= 0) return;
  dprintf(2, "floor: %s: %s\n", what, strerror(errno));
  _exit(1);
}

static void write_to(const char *path, const char *text, size_t size) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  must(fd, path);
  must(write(fd, text, size), path);
  close(fd);
}

// ---- cgroup v2 ----

static char unified_group[200];

static int is_unified(void) {
  struct statfs fs;
  return !statfs(TOP, &fs) && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static long bpf(int command, union bpf_attr *attr) { return syscall(SYS_bpf, command, attr, sizeof *attr); }

// The instructions of "allow this access to this device, or go on": the registers are those of filter().
#define OP(opcode, target, source, jump, number) \
  {.code = opcode, .dst_reg = target, .src_reg = source, .off = jump, .imm = number}
#define UNEQUAL(target, number, jump) OP(BPF_JMP | BPF_JNE | BPF_K, target, 0, jump, number)
#define RESULT(value) OP(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, value), OP(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
#define ANY_OF(kind, major) UNEQUAL(2, kind, 3), UNEQUAL(4, major, 2), RESULT(1)
#define ONE(kind, major, minor) UNEQUAL(2, kind, 4), UNEQUAL(4, major, 3), UNEQUAL(5, minor, 2), RESULT(1)
#define MKNOD(kind) UNEQUAL(2, kind, 4), OP(BPF_ALU64 | BPF_AND | BPF_K, 3, 0, 0, 6), UNEQUAL(3, 0, 2), RESULT(1)

// The rules of make_cgroups() as a program, the last one first.
static void filter(int group) {
  static const struct bpf_insn program[] = {OP(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0),
      OP(BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0), OP(BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff),
      OP(BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16), OP(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0),
      OP(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0), ONE(2, 5, 2), ANY_OF(2, 136), ONE(2, 1, 9), ONE(2, 1, 5), ONE(2, 5, 0),
      ONE(2, 1, 7), ONE(2, 1, 8), ONE(2, 1, 3), MKNOD(1), MKNOD(2), RESULT(0)};
  union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
      .insn_cnt = N(program),
      .insns = (uintptr_t)program,
      .license = (uintptr_t)"MIT"};
  long loaded = bpf(BPF_PROG_LOAD, &load);
  must(loaded, "BPF_PROG_LOAD");
  union bpf_attr attach = {.target_fd = (unsigned)group,
      .attach_bpf_fd = (unsigned)loaded,
      .attach_type = BPF_CGROUP_DEVICE,
      .attach_flags = BPF_F_ALLOW_MULTI};
  must(bpf(BPF_PROG_ATTACH, &attach), "BPF_PROG_ATTACH");
  close((int)loaded);
}

static void name_unified(const char *name) {
  snprintf(unified_group, sizeof unified_group, TOP "/" PARENT "/%.100s", name);
}

static int make_unified(const char *name) {
  mkdir(TOP "/" PARENT, 0755);
  name_unified(name);
  must(mkdir(unified_group, 0755), unified_group);
  int group = open(unified_group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(group, unified_group);
  filter(group);
  return group;
}

// ---- cgroup v1 ----

static const char *const controllers[] = {
    "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids", "systemd"};
static char groups[N(controllers)][200];

static void inherit(const char *file, const char *parent, int parent_is_new, const char *group) {
  char path[256], value[128];
  snprintf(path, sizeof path, TOP "/cpuset/%s", file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  must(fd, path);
  long size = read(fd, value, sizeof value);
  close(fd);
  must(size, path);
  if (parent_is_new) {
    snprintf(path, sizeof path, "%s/%s", parent, file);
    write_to(path, value, (size_t)size);
  }
  snprintf(path, sizeof path, "%s/%s", group, file);
  write_to(path, value, (size_t)size);
}

static void name_cgroups(const char *name) {
  for (unsigned i = 0; i < N(controllers); i++)
    snprintf(groups[i], sizeof groups[i], TOP "/%s/" PARENT "/%.100s", controllers[i], name);
}

static void make_cgroups(const char *name) {
  static const char *const rules[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:8 rwm", "c 1:7 rwm", "c 5:0 rwm",
      "c 1:5 rwm", "c 1:9 rwm", "c 136:* rwm", "c 5:2 rwm"};
  char path[256];
  name_cgroups(name);
  for (unsigned i = 0; i < N(controllers); i++) {
    snprintf(path, sizeof path, TOP "/%s/" PARENT, controllers[i]);
    int parent_is_new = !mkdir(path, 0755);
    must(mkdir(groups[i], 0755), groups[i]);
    if (!strcmp(controllers[i], "cpuset")) {
      inherit("cpuset.cpus", path, parent_is_new, groups[i]);
      inherit("cpuset.mems", path, parent_is_new, groups[i]);
    }
    if (strcmp(controllers[i], "devices")) continue;
    snprintf(path, sizeof path, "%.199s/devices.deny", groups[i]);
    write_to(path, "a", 1);
    snprintf(path, sizeof path, "%.199s/devices.allow", groups[i]);
    for (unsigned k = 0; k < N(rules); k++)
      write_to(path, rules[k], strlen(rules[k]));
  }
}

static void join_cgroups(void) {
  char path[256];
  for (unsigned i = 0; i < N(controllers); i++) {
    snprintf(path, sizeof path, "%.199s/tasks", groups[i]);
    write_to(path, "0", 1);
  }
}

// A cgroup stays busy for a moment after its last process has been reaped.
static void remove_cgroups(void) {
  for (int tries = 1000; *unified_group && tries && rmdir(unified_group) && errno == EBUSY; tries--)
    ;
  for (unsigned i = 0; i < N(controllers) && !*unified_group; i++)
    for (int tries = 1000; tries && rmdir(groups[i]) && errno == EBUSY; tries--)
      ;
}

// ---- the container ----

static const struct {
  const char *type, *target;
  unsigned long flags;
  const char *data;
} mounts[] = {
    {"proc", "proc", 0, 0},
    {"tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"},
    {"devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"tmpfs", "dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"},
    {"mqueue", "dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, 0},
    {"sysfs", "sys", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, 0},
};
static const struct {
  const char *path;
  unsigned major, minor;
} nodes[] = {
    {"dev/null", 1, 3},
    {"dev/zero", 1, 5},
    {"dev/full", 1, 7},
    {"dev/random", 1, 8},
    {"dev/urandom", 1, 9},
    {"dev/tty", 5, 0},
};
static const struct {
  const char *path, *to;
} links[] = {
    {"dev/fd", "/proc/self/fd"},
    {"dev/stdin", "/proc/self/fd/0"},
    {"dev/stdout", "/proc/self/fd/1"},
    {"dev/stderr", "/proc/self/fd/2"},
    {"dev/ptmx", "pts/ptmx"},
};
static const char *const masked[] = {"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"};
static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

static void bring_up_loopback(void) {
  struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  must(ioctl(fd, SIOCSIFFLAGS, &lo), "lo");
  close(fd);
}

// Enters a mount namespace that has nothing but the rootfs; 0 if the kernel makes none.
static int enter_alone(const char *rootfs) {
  int own = (int)syscall(SYS_open_tree, AT_FDCWD, rootfs, OPEN_TREE_NAMESPACE | O_CLOEXEC | AT_RECURSIVE);
  if (own < 0) return 0;
  must(setns(own, CLONE_NEWNS), "setns");
  close(own);
  must(chdir("/"), "/");
  must(mount(0, "/", 0, MS_SLAVE | MS_REC, 0), "/");
  return 1;
}

static void enter_copy(const char *rootfs) {
  must(mount(0, "/", 0, MS_SLAVE | MS_REC, 0), "/");
  must(mount(rootfs, rootfs, 0, MS_BIND | MS_REC, 0), rootfs);
  must(chdir(rootfs), rootfs);
}

// Fills the directory in which it is called.
static void populate(void) {
  for (unsigned i = 0; i < N(mounts); i++) {
    mkdir(mounts[i].target, 0755);
    must(mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].data), mounts[i].target);
  }
  for (unsigned i = 0; i < N(nodes); i++)
    must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].path);
  for (unsigned i = 0; i < N(links); i++)
    must(symlink(links[i].to, links[i].path), links[i].path);
}

static void show_cgroup(int tree) {
  must(syscall(SYS_move_mount, tree, "", AT_FDCWD, "sys/fs/cgroup", MOVE_MOUNT_F_EMPTY_PATH), "sys/fs/cgroup");
  must(mount(0, "sys/fs/cgroup", 0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, 0),
      "sys/fs/cgroup");
}

static void change_root(void) {
  int before = open("/", O_DIRECTORY | O_CLOEXEC);
  must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  must(fchdir(before), "the old root");
  must(mount(0, ".", 0, MS_SLAVE | MS_REC, 0), "the old root");
  must(umount2(".", MNT_DETACH), "the old root");
  must(chdir("/"), "/");
  close(before);
}

static void hide(void) {
  struct stat st;
  for (unsigned i = 0; i < N(masked); i++) {
    if (stat(masked[i], &st)) continue;
    if (S_ISDIR(st.st_mode))
      must(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1"), masked[i]);
    else
      must(mount("/dev/null", masked[i], 0, MS_BIND, 0), masked[i]);
  }
  for (unsigned i = 0; i < N(readonly); i++)
    if (!mount(readonly[i], readonly[i], 0, MS_BIND | MS_REC, 0))
      must(mount(0, readonly[i], 0, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, 0),
          readonly[i]);
  must(mount(0, "/", 0, MS_BIND | MS_REMOUNT | MS_RDONLY, 0), "/");
}

static int execute(const char *pid) {
  char path[256], group[200] = TOP;
  snprintf(path, sizeof path, "/proc/%.20s/cgroup", pid);
  FILE *file = fopen(path, "re");
  must(file ? 0 : -1, path);
  // The line of v2 is the last one: 0::/PATH
  while (fgets(path, sizeof path, file)) {
    path[strcspn(path, "\n")] = 0;
    if (!strncmp(path, "0::", 3)) snprintf(group, sizeof group, TOP "%.150s", path + 3);
  }
  fclose(file);
  struct clone_args args = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
  int status = 0;
  long cgroup = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(cgroup, group);
  args.cgroup = (unsigned)cgroup;
  long pidfd = syscall(SYS_pidfd_open, atoi(pid), 0);
  must(pidfd, "pidfd_open");
  must(setns((int)pidfd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP),
      "setns");
  long child = syscall(SYS_clone3, &args, sizeof args);
  must(child, "clone3");
  if (!child) {
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    execl("/bin/busybox", "true", (char *)0);
    _exit(1);
  }
  must(waitpid((pid_t)child, &status, 0), "waitpid");
  return status ? 1 : 0;
}

static int end_container(const char *name, pid_t pid) {
  struct pollfd ended = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
  must(ended.fd, "pidfd_open");
  must(kill(pid, SIGKILL), "kill");
  must(poll(&ended, 1, 10000), "poll");
  if (is_unified())
    name_unified(name);
  else
    name_cgroups(name);
  usleep(10000); // its parent must reap it
  remove_cgroups();
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && !strcmp(argv[1], "nothing")) return 0;
  if (argc == 3 && !strcmp(argv[1], "exec")) return execute(argv[2]);
  if (argc == 4 && !strcmp(argv[1], "remove")) return end_container(argv[2], atoi(argv[3]));
  if (argc != 4 || (strcmp(argv[3], "create") && strcmp(argv[3], "run") && strcmp(argv[3], "ready"))) {
    dprintf(2, "usage: floor ROOTFS CGROUP create|run|ready; floor remove CGROUP PID; floor nothing; floor exec PID\n");
    return 2;
  }
  int run = !strcmp(argv[3], "run"), leave = !strcmp(argv[3], "ready"), ready[2], go[2], status = 0;
  char byte = 0;
  must(pipe2(ready, O_CLOEXEC), "pipe");
  must(pipe2(go, O_CLOEXEC), "pipe");
  struct clone_args args = {
      .flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, .exit_signal = SIGCHLD};
  if (!leave) args.flags |= CLONE_NEWNS;
  int unified = is_unified();
  if (unified) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (unsigned)make_unified(argv[2]);
  } else {
    make_cgroups(argv[2]);
  }
  long child = syscall(SYS_clone3, &args, sizeof args);
  must(child, "clone3");
  if (!child) {
    if (!leave) close(go[1]);
    if (!unified) join_cgroups();
    bring_up_loopback();
    int tree = unified ? (int)syscall(SYS_open_tree, AT_FDCWD, unified_group, OPEN_TREE_CLONE | O_CLOEXEC) : -1;
    int alone = leave && enter_alone(argv[1]);
    if (leave && !alone) must(unshare(CLONE_NEWNS), "unshare");
    if (!alone) enter_copy(argv[1]);
    populate();
    if (unified) show_cgroup(tree);
    if (!alone) change_root();
    hide();
    must(sethostname("floor", 5), "sethostname");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    must(write(ready[1], &byte, 1), "pipe");
    if (read(go[0], &byte, 1) == 1) execl("/bin/busybox", "true", (char *)0);
    _exit(1);
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) return 1; // the child has printed why
  if (leave) return dprintf(1, "%ld\n", child) < 0;
  if (run)
    must(write(go[1], &byte, 1), "pipe");
  else
    must(kill((pid_t)child, SIGKILL), "kill");
  must(waitpid((pid_t)child, &status, 0), "waitpid");
  remove_cgroups();
  return run && status ? 1 : 0;
}
