// Steps that mount file systems and change mounts. They use descriptors only (open_tree, fsopen, mount_setattr,
// move_mount), and resolve targets in the rootfs.
#include "mount/mount.h"

#include <string.h>
#include <linux/sched.h>

#include "base/cgroupfs.h"
#include "mount/by_page.h"
#include "mount/copy.h"

int place_mount(struct run *r, int mount, const char *target, enum way way) {
  CLOSING int tree = mount;
  enum view_kind view = view_of(tree);
  if (view == WHOLE_VIEW && way == WAY_ORDINARY) way = WAY_PLAIN;
  CLOSING int at = resolve_place(r, target, is_directory(tree) ? MAKE_DIRECTORY : MAKE_FILE, way);
  int error = at < 0 ? 0 : note_mount(r, target, tree, view);
  return error < 0 ? failing(r, "fcntl", error) : attach(r, release(&tree), release(&at));
}

static int clone_source(struct run *r, const char *source, unsigned flags) {
  int dir = beneath_cgroupfs(&r->cgroupfs, &source);
  return sys_open_tree(dir, source, OPEN_TREE_CLONE | flags);
}

// The same where init's mount namespace has no copy of the host's mounts: in the runtime's namespace, for that moment.
static int clone_on_host(struct run *r, const char *source, unsigned flags) {
  int error = (int)sys2(SYS_setns, r->space, CLONE_NEWNS);
  if (!error) error = sys_chroot(r->top);
  CLOSING int tree = error < 0 ? error : clone_source(r, source, flags);
  // The clone of a shared mount is its peer, to which init's mounts would propagate.
  if (tree >= 0) error = sys_mount_setattr(tree, AT_RECURSIVE, 0, 0, r->before);
  int back = (int)sys2(SYS_setns, r->own, CLONE_NEWNS);
  return back < 0 ? back : error < 0 ? error : release(&tree);
}

int open_source(struct run *r, const char *source, int64_t recursive, int64_t nofollow) {
  unsigned flags = (recursive ? AT_RECURSIVE : 0) | (nofollow ? AT_SYMLINK_NOFOLLOW : 0);
  return r->own < 0 ? clone_source(r, source, flags) : clone_on_host(r, source, flags);
}

int source_failed(struct run *r, const char *source, int error) {
  if (error == -ENOENT && !strcmp(source, r->program->facts.rootfs))
    format(&r->detail,
        "the directory with the container's files is missing: make and fill it, or name another in root.path");
  return failing(r, "open_tree", error);
}

// Gives the root of the new file system the permissions of the directory that it covers.
static int copy_mode(int covered, int mount) {
  struct stat st;
  int error = sys_fstat(covered, &st);
  CLOSING int root = error < 0 ? error : sys_openat2(mount, ".", O_RDONLY | O_DIRECTORY, 0);
  return root < 0 ? root : (int)sys2(SYS_fchmod, root, st.st_mode & ~S_IFMT);
}

static int copy_up(int covered, int mount) {
  CLOSING int from = sys_openat2(covered, ".", O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH);
  return from < 0 ? from : copy_tree(from, mount);
}

// Takes permissions and content over from the directory that the new file system covers, if the options ask for that.
static int inherit(struct run *r, int mount, const struct step_mount *s) {
  if (!(s->keep_mode | s->tmpcopyup)) return 0;
  CLOSING int covered = resolve(r->rootfs, TEXT(target), O_PATH | O_DIRECTORY);
  if (covered < 0) return 0;
  int error = s->keep_mode ? copy_mode(covered, mount) : 0;
  if (error < 0) return failing(r, "fchmod", error);
  error = s->tmpcopyup ? copy_up(covered, mount) : 0;
  return error < 0 ? failing(r, "tmpcopyup", error) : 0;
}

// The bind that takes the place of a new file system.
static int bind_instead(struct run *r, const struct step_mount *s) {
  forget_detail(r);
  CLOSING int bind = open_source(r, TEXT(bind), 0, 0);
  if (bind < 0) return failing(r, "open_tree", bind);
  int error = change_mount(r, bind, 0, s->set, s->clear, 0);
  return error ? error : release(&bind);
}

int do_mount(struct run *r, const struct step_mount *s) {
  CLOSING int mount =
      new_filesystem(r, &(struct filesystem){TEXT(fstype), TEXT(source), TEXTS(options), 0}, NUMBER(set));
  if (*TEXT(bind) && (mount == -EPERM || mount == -EBUSY)) mount = bind_instead(r, s);
  if (mount < 0) return mount;
  int error = change_mount(r, mount, s->propagation_recursive, 0, 0, s->propagation);
  if (!error) error = inherit(r, mount, s);
  return error ? error : place_mount(r, release(&mount), TEXT(target), WAY_ORDINARY);
}

int do_reconfigure_mount(struct run *r, const struct step_reconfigure_mount *s) {
  CLOSING int target = resolve_seen(r, TEXT(target));
  if (target < 0) return failing(r, "openat2", target);
  CLOSING int context = (int)sys3(SYS_fspick, target, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
  if (context < 0) return failing(r, "fspick", context);
  int error = configure_all(r, context, TEXTS(options));
  if (error) return error;
  error = (int)sys5(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0);
  return error < 0 ? refused(r, context, 0, error) : 0;
}

int do_set_mount_attributes(struct run *r, const struct step_set_mount_attributes *s) {
  CLOSING int target = resolve_seen(r, TEXT(target));
  if (target < 0) return failing(r, "openat2", target);
  return change_mount(r, target, s->recursive, s->set, s->clear, s->propagation);
}
