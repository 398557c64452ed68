// Steps that make directories, links and device nodes in the rootfs.

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "mount/by_page.h"
#include "mount/mount.h"
#include "mount/target.h"

int do_make_directory(struct run *r, const struct step_make_directory *s) {
  CLOSING int fd = resolve_or_make(r->rootfs, TEXT(path), MAKE_DIRECTORY, (int)s->mode);
  return called(r, "openat2", fd);
}

int do_make_symlink(struct run *r, const struct step_make_symlink *s) {
  const char *name;
  if (*TEXT(needs)) {
    // The rootfs decides, not init's own /proc: O_NOFOLLOW keeps the last component, a magic link, from being followed.
    CLOSING int needed = resolve(r->rootfs, TEXT(needs), O_PATH | O_NOFOLLOW);
    if (needed == -ENOENT || needed == -ENOTDIR) return 0;
  }
  CLOSING int parent = resolve_parent(r, TEXT(path), &name);
  if (parent < 0) return failing(r, "openat2", parent);
  int error = (int)sys3(SYS_symlinkat, TEXT(to), parent, name);
  if (error == -EEXIST && s->replace) {
    sys_unlink(parent, name, 0);
    error = (int)sys3(SYS_symlinkat, TEXT(to), parent, name);
  }
  return error < 0 && error != -EEXIST ? failing(r, "symlink", error) : 0;
}

#define NODE "node" // the name of a device in a file system that is made for it alone

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

// Makes the device in the host's user namespace, on a file system of its own, for init to bind it. If the host refuses,
// init binds the host's own node instead.
static int make_outside(struct run *r, const struct step_make_node *s) {
  CLOSING int mount =
      new_filesystem(r, &(struct filesystem){"tmpfs", "tmpfs", 0, 0}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  if (mount < 0) return mount;
  int error = make_node(mount, NODE, s);
  if (error == -EPERM) return called(r, "open_tree", r->fds[s->outside] = open_source(r, TEXT(path), 0, 0));
  if (error < 0) return failing(r, "mknod", error);
  if ((error = own_node(r, mount, NODE, s))) return error;
  r->fds[s->outside] = release(&mount);
  return 0;
}

// Clones the device that make_outside has made. Before Linux 6.15 the kernel clones only what is attached in this mount
// namespace, so init attaches the file system for that moment.
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
  int outside = NUMBER(outside) < 0 ? -1 : release(&r->fds[s->outside]);
  if (outside < 0) return open_source(r, TEXT(path), 0, 0);
  return is_directory(outside) ? clone_outside(r, outside) : outside;
}

static int bind_device(struct run *r, const struct step_make_node *s) {
  struct stat st;
  CLOSING int tree = open_device(r, s);
  if (tree < 0) return r->call ? tree : failing(r, "open_tree", tree);
  if (sys_fstat(tree, &st) < 0 || (st.st_mode & S_IFMT) != s->kind || st.st_rdev != makedev(s->major, s->minor))
    return failing_because(r, "check", -ENODEV, "the host's node at this path is another device");
  int error = sys_mount_setattr(tree, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, MS_SLAVE);
  return error < 0 ? failing(r, "mount_setattr", error) : place_mount(r, release(&tree), TEXT(path), WAY_ORDINARY);
}

static int check_node(struct run *r, int parent, const char *name, const struct step_make_node *s) {
  struct stat st;
  int error = sys_stat(parent, name, &st, AT_SYMLINK_NOFOLLOW);
  if (error < 0) return failing(r, "mknod", error);
  if ((st.st_mode & S_IFMT) == s->kind && (s->kind == S_IFIFO || st.st_rdev == makedev(s->major, s->minor))) return 0;
  return failing_because(r, "mknod", -EEXIST, "something else is there");
}

int do_make_node(struct run *r, const struct step_make_node *s) {
  const char *name;
  if (s->bind) return bind_device(r, s);
  if (NUMBER(outside) >= 0) return make_outside(r, s);
  CLOSING int parent = resolve_parent(r, TEXT(path), &name);
  if (parent < 0) return failing(r, "openat2", parent);
  int error = make_node(parent, name, s);
  // The caller has no CAP_MKNOD, or the file system refuses device nodes.
  if (error == -EPERM && s->kind != S_IFIFO) return bind_device(r, s);
  if (error == -EEXIST) return check_node(r, parent, name, s);
  return error < 0 ? failing(r, "mknod", error) : own_node(r, parent, name, s);
}
