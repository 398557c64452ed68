// Steps that make a directory or an overlay the rootfs, and the rootfs the root.

#include <sys/mount.h>
#include <linux/sched.h>

#include "base/files.h"
#include "mount/by_page.h"
#include "mount/hide_host.h"
#include "mount/mount.h"

// Takes the mount that covers masked files while the host's /dev can still be reached. It must be the real null device.
static int take_null(struct run *r) {
  struct stat st;
  if (r->null < 0) r->null = open_source(r, "/dev/null", 0, 0);
  if (r->null < 0) return failing(r, "open_tree /dev/null", r->null);
  return is_null_device(r->null, &st) ? 0 : failing(r, "the host's /dev/null", -ENODEV);
}

static int set_propagation_of_all(struct run *r, uint64_t propagation, uint64_t recursive) {
  CLOSING int root = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  return root < 0 ? failing(r, "open", root) : change_mount(r, root, recursive, 0, 0, propagation);
}

int do_set_propagation(struct run *r, const struct step_set_propagation *s) {
  return set_propagation_of_all(r, s->propagation, s->recursive);
}

static int open_mntns(void) { return sys_open(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY, 0); }

static int enter_copy(struct run *r, uint64_t propagation) {
  int error = called(r, "unshare", sys1(SYS_unshare, CLONE_NEWNS));
  return error ? error : set_propagation_of_all(r, propagation, 1);
}

// Enters a mount namespace of its own, from which nothing propagates. ChangeRoot goes back.
static int enter_private_mntns(struct run *r) {
  r->space = open_mntns();
  return r->space < 0 ? failing(r, "open /proc/self/ns/mnt", r->space) : enter_copy(r, MS_PRIVATE);
}

static int keep_rootfs(struct run *r, int from, const char *path) {
  CLOSING int mount = from;
  CLOSING int at = sys_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
  // In a user namespace init may lack the rights for the path. pivot_root takes a mount at any place.
  if (at == -EACCES) at = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  if (at < 0) return failing(r, "open", at);
  int error = sys_move_mount(mount, at);
  if (error < 0) return failing(r, "move_mount", error);
  r->rootfs = release(&mount);
  return take_null(r);
}

// Enters a mount namespace with nothing in it but a clone of the tree, which is the root directory there. `returns`:
// init will take more from the host.
static int enter_alone(struct run *r, int tree, const char *path, int returns) {
  CLOSING int own = sys_open_tree(tree, path, OPEN_TREE_NAMESPACE | AT_RECURSIVE | AT_EMPTY_PATH);
  if (own < 0) return own;
  if (returns && (r->space = open_mntns()) < 0) return -EPERM;
  if (returns) r->top = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  int error = (int)sys2(SYS_setns, own, CLONE_NEWNS);
  if (error < 0) return error;
  r->own = release(&own);
  r->rootfs = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  error = change_mount(r, r->rootfs, 1, 0, 0, r->before);
  return error ? error : take_null(r);
}

// A clone of the rootfs, or -1: it is the root directory of init's mount namespace already, or that failed with
// `error`.
static int take_rootfs(struct run *r, const struct step_open_rootfs *s, int *error) {
  CLOSING int tree = NUMBER(tree) >= 0 ? release(&r->fds[s->tree]) : -1;
  if (NUMBER(null) >= 0) r->null = release(&r->fds[s->null]);
  if (s->alone) {
    r->before = s->propagation;
    *error = tree < 0 ? enter_alone(r, AT_FDCWD, TEXT(path), 1) : enter_alone(r, tree, "", 0);
    // The kernel, before Linux 7.0, or a filter refuses to make such a namespace.
    if (r->own >= 0 || (*error != -EINVAL && *error != -EPERM)) return -1;
    if ((*error = enter_copy(r, r->before))) return -1;
  }
  return tree >= 0 ? release(&tree) : open_source(r, TEXT(path), NUMBER(recursive), 0);
}

int do_open_rootfs(struct run *r, const struct step_open_rootfs *s) {
  int error = s->private_mntns ? enter_private_mntns(r) : 0;
  if (error < 0) return error;
  CLOSING int mount = take_rootfs(r, s, &error);
  struct stat st;
  if (r->own >= 0 || r->call) return error;
  if (error < 0 || mount < 0) return source_failed(r, TEXT(path), error < 0 ? error : mount);
  if (sys_fstat(mount, &st) < 0 || !S_ISDIR(st.st_mode)) return failing(r, "open_tree", -ENOTDIR);
  return keep_rootfs(r, release(&mount), TEXT(path));
}

int do_open_scratch(struct run *r, const struct step_open_scratch *s) {
  const struct filesystem tmpfs = {"tmpfs", "tmpfs", TEXTS(options), 0};
  const struct texts *names = TEXTS(directories);
  const char *source = TEXT(source);
  CLOSING int mount = *source ? open_source(r, source, 0, 0) : new_filesystem(r, &tmpfs, MOUNT_ATTR_NODEV);
  if (mount < 0) return *source ? source_failed(r, source, mount) : mount;
  int error = lay_over_root(r, mount);
  if (!error) error = called(r, "fchdir", sys_fchdir(mount));
  for (uint32_t i = 0; !error && i < names->count; i++)
    error = called(r, "mkdir", sys_mkdir(mount, names->items[i], 0755));
  if (!error) r->fds[s->fd] = release(&mount);
  r->covers = 1;
  return error;
}

int do_overlay_rootfs(struct run *r, const struct step_overlay_rootfs *s) {
  int error = s->private_mntns ? enter_private_mntns(r) : 0;
  if (error < 0) return error;
  int mount = new_filesystem(r, &(struct filesystem){"overlay", "overlay", TEXTS(options), TEXTS(lower)}, 0);
  return mount < 0 ? mount : keep_rootfs(r, mount, TEXT(path));
}

int do_cover_root(struct run *r, const struct step_cover_root *s) { return lay_over_root(r, r->fds[s->fd]); }

int do_uncover_root(struct run *r, const struct step_uncover_root *s) {
  CLOSING int view = release(&r->fds[s->fd]);
  take_off_root(view, r->rootfs);
  return 0;
}

int do_pivot_root(struct run *r, const struct step_pivot_root *s) {
  sys_close(release(&r->cgroupfs));
  sys_close(release(&r->space));
  sys_close(release(&r->top));
  CLOSING int own = release(&r->own);
  if (own >= 0) return 0; // the rootfs is the root already
  CLOSING int old = sys_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
  int error = old < 0 ? failing(r, "open", old) : called(r, "fchdir", sys_fchdir(r->rootfs));
  if (!error) error = called(r, "pivot_root", sys2(SYS_pivot_root, ".", "."));
  if (!error) error = called(r, "fchdir", sys_fchdir(old));
  // The umount does not propagate to the host: SetPropagation has made all its mounts slaves or private. It takes the
  // topmost mount alone, so the old root goes after what OpenScratch has laid over it.
  for (int left = r->covers; !error && left >= 0; left--)
    error = called(r, "umount2", sys2(SYS_umount2, ".", MNT_DETACH));
  return error ? error : called(r, "chdir", sys_chdir("/"));
}

int do_move_root(struct run *r, const struct step_move_root *s) {
  sys_close(release(&r->cgroupfs));
  int error = sys_fchdir(r->rootfs);
  if (error < 0) return failing(r, "fchdir", error);
  // ELOOP: the rootfs is at / already, because keep_rootfs could not open its own path.
  if ((error = (int)sys5(SYS_mount, ".", "/", 0, MS_MOVE, 0)) < 0 && error != -ELOOP) return failing(r, "move", error);
  // Until chroot init's paths begin at the old root and lead to none of the container's mounts.
  return (error = hide_host(r)) < 0 ? error : called(r, "chroot", sys_chroot(r->rootfs));
}

int do_change_root(struct run *r, const struct step_change_root *s) {
  sys_close(release(&r->cgroupfs));
  // A detached clone outlives the namespace in which it was made.
  int tree = sys_open_tree(r->rootfs, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) return failing(r, "open_tree", tree);
  sys_close(r->rootfs);
  r->rootfs = tree;
  CLOSING int space = release(&r->space);
  int error = called(r, "setns", sys2(SYS_setns, space, CLONE_NEWNS));
  return error ? error : called(r, "chroot", sys_chroot(r->rootfs));
}
