// Steps that make directories, links and device nodes in the rootfs, and the one that sets the terminal up.

#include <sys/sysmacros.h>
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <linux/magic.h>

#include "base/files.h"
#include "base/socket.h"
#include "executor/child.h"
#include "executor/target.h"
#include "mount/filesystem.h"
#include "mount/mount.h"

int do_make_directory(struct run *r, const struct step_make_directory *s) {
  int fd = resolve_or_make(r->rootfs, TEXT(path), MAKE_DIRECTORY, (int)s->mode);
  sys_close(fd);
  return fd < 0 ? failing(r, "openat2", fd) : 0;
}

int do_make_symlink(struct run *r, const struct step_make_symlink *s) {
  const char *name;
  if (*TEXT(needs)) {
    // Asked of the rootfs, not of this process: /proc/self is a magic link only at its end, which is not followed.
    int needed = resolve(r->rootfs, TEXT(needs), O_PATH | O_NOFOLLOW);
    sys_close(needed);
    if (needed == -ENOENT || needed == -ENOTDIR) return 0;
  }
  int parent = resolve_parent(r, TEXT(path), &name);
  if (parent < 0) return failing(r, "openat2", parent);
  int error = (int)sys3(SYS_symlinkat, TEXT(to), parent, name);
  if (error == -EEXIST && s->replace) {
    sys_unlink(parent, name, 0);
    error = (int)sys3(SYS_symlinkat, TEXT(to), parent, name);
  }
  return error < 0 && error != -EEXIST ? failing(r, "symlink", error) : 0;
}

#define NODE "node" // its name in the file system that is made for it alone

static int make_node(int parent, const char *name, const struct step_make_node *s) {
  long mask = sys1(SYS_umask, 0);
  int error = (int)sys4(SYS_mknodat, parent, name, s->kind | s->mode, makedev(s->major, s->minor));
  sys1(SYS_umask, mask);
  return error;
}

static int own_node(struct run *r, int parent, const char *name, const struct step_make_node *s) {
  int error = s->uid | s->gid ? (int)sys5(SYS_fchownat, parent, name, s->uid, s->gid, AT_SYMLINK_NOFOLLOW) : 0;
  return error < 0 ? failing(r, "chown", error) : 0;
}

static int make_outside(struct run *r, const struct step_make_node *s) {
  static const struct texts none;
  CLOSING int mount =
      new_filesystem(r, &(struct filesystem){"tmpfs", "tmpfs", &none, 0}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (mount < 0) return mount;
  int error = make_node(mount, NODE, s);
  if (error == -EPERM) return 0;
  if (error < 0) return failing(r, "mknod", error);
  if ((error = own_node(r, mount, NODE, s))) return error;
  r->fds[s->outside] = release(&mount);
  return 0;
}

// Before Linux 6.15 only what is attached in this mount namespace can be cloned.
static int clone_outside(struct run *r, int mount) {
  CLOSING int outside = mount;
  CLOSING int here = sys_open(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0);
  int error = here < 0 ? failing(r, "open", here) : lay_over_root(r, outside);
  if (error) return error;
  CLOSING int tree = sys_open_tree(outside, NODE, OPEN_TREE_CLONE);
  take_off_root(outside, here);
  return release(&tree);
}

static int open_device(struct run *r, const struct step_make_node *s) {
  if (NUMBER(outside) >= 0 && r->fds[s->outside] >= 0) return clone_outside(r, release(&r->fds[s->outside]));
  return sys_open_tree(AT_FDCWD, TEXT(path), OPEN_TREE_CLONE);
}

static int bind_device(struct run *r, const struct step_make_node *s) {
  struct stat st;
  CLOSING int tree = open_device(r, s);
  if (tree < 0) return r->call ? tree : failing(r, "open_tree", tree);
  if (sys_fstat(tree, &st) < 0 || (st.st_mode & S_IFMT) != s->kind || st.st_rdev != makedev(s->major, s->minor)) {
    format(&r->detail, "the host's node at this path is another device");
    return failing(r, "check", -ENODEV);
  }
  int error = sys_mount_setattr(tree, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0);
  return error < 0 ? failing(r, "mount_setattr", error) : place_mount(r, release(&tree), TEXT(path), WAY_ORDINARY);
}

static int check_node(struct run *r, int parent, const char *name, const struct step_make_node *s) {
  struct stat st;
  int error = sys_stat(parent, name, &st, AT_SYMLINK_NOFOLLOW);
  if (error < 0) return failing(r, "mknod", error);
  if ((st.st_mode & S_IFMT) == s->kind && (s->kind == S_IFIFO || st.st_rdev == makedev(s->major, s->minor))) return 0;
  put(&r->detail, "something else is there");
  return failing(r, "mknod", -EEXIST);
}

int do_make_node(struct run *r, const struct step_make_node *s) {
  const char *name;
  if (s->bind) return bind_device(r, s);
  if (NUMBER(outside) >= 0) return make_outside(r, s);
  int parent = resolve_parent(r, TEXT(path), &name);
  if (parent < 0) return failing(r, "openat2", parent);
  int error = make_node(parent, name, s);
  // A caller without CAP_MKNOD, or a file system that refuses nodes.
  if (error == -EPERM && s->kind != S_IFIFO) return bind_device(r, s);
  if (error == -EEXIST) return check_node(r, parent, name, s);
  return error < 0 ? failing(r, "mknod", error) : own_node(r, parent, name, s);
}

// The host's own terminal must not be taken for the container's: everything is reached from the rootfs' devpts.
static int open_terminal(struct run *r, int *master, char *name, size_t size) {
  int number = 0, zero = 0;
  struct stat st;
  // What a container that is at work has put there may be a pipe, which is not waited for, or any device.
  *master = resolve(r->rootfs, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (*master < 0) return failing(r, "open /dev/pts/ptmx", *master);
  if (sys_fstat(*master, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2) ||
      filesystem_of(*master) != DEVPTS_SUPER_MAGIC)
    return failing(r, "check /dev/pts/ptmx", -ENOTTY);
  sys_fcntl(*master, F_SETFL, O_RDWR);
  int error = sys_ioctl(*master, TIOCSPTLCK, &zero);
  if (!error) error = sys_ioctl(*master, TIOCGPTN, &number);
  if (error < 0) return failing(r, "TIOCGPTN", error);
  struct buffer path = {name, size, 0, 0};
  put(&path, "/dev/pts/");
  put_number(&path, number);
  int terminal = sys_ioctl(*master, TIOCGPTPEER, (void *)(O_RDWR | O_NOCTTY | O_CLOEXEC));
  return terminal < 0 ? failing(r, "TIOCGPTPEER", terminal) : terminal;
}

static int bind_console(struct run *r, int terminal, const char *name) {
  struct stat ours, found;
  int node = resolve(r->rootfs, name, O_PATH | O_NOFOLLOW);
  if (node < 0) return failing(r, "openat2", node);
  if (sys_fstat(terminal, &ours) < 0 || sys_fstat(node, &found) < 0 || ours.st_rdev != found.st_rdev ||
      ours.st_ino != found.st_ino) {
    sys_close(node);
    return failing(r, name, -ENODEV);
  }
  int tree = sys_open_tree(node, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  sys_close(node);
  return tree < 0 ? failing(r, "open_tree", tree) : place_mount(r, tree, "/dev/console", WAY_ORDINARY);
}

int do_make_console(struct run *r, const struct step_make_console *s) {
  char name[32];
  int master, terminal = open_terminal(r, &master, name, sizeof name);
  if (terminal < 0) {
    sys_close(master);
    return terminal;
  }
  struct termios settings;
  struct winsize {
    unsigned short rows, columns, x, y;
  } window = {(unsigned short)s->height, (unsigned short)s->width, 0, 0};
  int error = sys_ioctl(master, TCGETS, &settings);
  settings.c_oflag &= ~(tcflag_t)ONLCR;
  if (!error) error = sys_ioctl(master, TCSETS, &settings);
  if (!error && s->height | s->width) error = sys_ioctl(master, TIOCSWINSZ, &window);
  if (!error) error = (int)sys3(SYS_fchown, terminal, s->uid, -1);
  if (!error) error = (int)sys2(SYS_fchmod, terminal, 0620);
  if (error < 0) failing(r, "set the terminal's attributes", error);
  if (!error && s->device) error = bind_console(r, terminal, name);
  if (!error) {
    struct message message = {.kind = MESSAGE_CONSOLE};
    error = NUMBER(fd) >= 0 ? send_descriptor(r->fds[s->fd], name, master) : send_message(r->peer, &message, master);
    if (error == -EAGAIN)
      error = no_answer(r, "sendmsg");
    else if (error)
      failing(r, "sendmsg", error);
  }
  if (!error) {
    for (int fd = 0; fd < 3 && error >= 0; fd++)
      error = sys_dup3(terminal, fd, 0);
    if (error >= 0) error = sys_ioctl(0, TIOCSCTTY, 0);
    if (error < 0) failing(r, "TIOCSCTTY", error);
  }
  sys_close(master);
  if (terminal > 2) sys_close(terminal);
  if (NUMBER(fd) >= 0) sys_close(r->fds[s->fd]);
  return error < 0 ? error : 0;
}
