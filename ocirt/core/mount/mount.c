// Steps on mounts: by descriptor only (open_tree, fsopen, mount_setattr, move_mount), targets resolved in the rootfs.
#include "mount/mount.h"

#include <string.h>

#include "base/cgroupfs.h"
#include "mount/target.h"
#include "mount/copy.h"
#include "mount/by_page.h"

int place_mount(struct run *r, int mount, const char *target, enum way way) {
  CLOSING int tree = mount;
  enum view_kind view = view_of(tree);
  if (view == WHOLE_VIEW && way == WAY_ORDINARY) way = WAY_PLAIN;
  CLOSING int at = resolve_place(r, target, is_directory(tree) ? MAKE_DIRECTORY : MAKE_FILE, way);
  int error = at < 0 ? 0 : note_mount(r, target, tree, view);
  return error < 0 ? failing(r, "fcntl", error) : attach(r, release(&tree), release(&at));
}

int open_source(struct run *r, const char *source, int64_t recursive, int64_t nofollow) {
  int dir = beneath_cgroupfs(&r->cgroupfs, &source);
  return sys_open_tree(
      dir, source, OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0) | (nofollow ? AT_SYMLINK_NOFOLLOW : 0));
}

// ---- new file systems ----

// Gives the new file system's root the permissions of the directory that it covers.
static int copy_mode(int covered, int mount) {
  struct stat st;
  int error = sys_fstat(covered, &st);
  CLOSING int root = error < 0 ? error : sys_openat2(mount, ".", O_RDONLY | O_DIRECTORY, 0, 0);
  return root < 0 ? root : (int)sys2(SYS_fchmod, root, st.st_mode & 07777);
}

static int copy_up(int covered, int mount) {
  CLOSING int from = sys_openat2(covered, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
  return from < 0 ? from : copy_tree(from, mount);
}

// What a new file system takes over from the directory that it covers, where there is one.
static int inherit(struct run *r, int mount, const struct step_mount *s) {
  if (!(s->keep_mode | s->tmpcopyup)) return 0;
  CLOSING int covered = resolve(r->rootfs, TEXT(target), O_PATH | O_DIRECTORY);
  if (covered < 0) return 0;
  int error = s->keep_mode ? copy_mode(covered, mount) : 0;
  if (error < 0) return failing(r, "fchmod", error);
  error = s->tmpcopyup ? copy_up(covered, mount) : 0;
  return error < 0 ? failing(r, "tmpcopyup", error) : 0;
}

int do_mount(struct run *r, const struct step_mount *s) {
  CLOSING int mount =
      new_filesystem(r, &(struct filesystem){TEXT(fstype), TEXT(source), TEXTS(options), 0}, NUMBER(set));
  if (mount < 0) return mount;
  int error = set_propagation(r, mount, NUMBER(propagation), NUMBER(propagation_recursive));
  if (!error) error = inherit(r, mount, s);
  return error ? error : place_mount(r, release(&mount), TEXT(target), WAY_ORDINARY);
}

// ---- binds ----

static int map_ids(struct run *r, int tree, int mapping, int64_t recursive) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)mapping};
  int error =
      (int)sys5(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);
  return error < 0 ? failing(r, "mount_setattr MOUNT_ATTR_IDMAP", error) : 0;
}

// Who may map the ids of a tree that init has opened, in a user namespace, is the runtime: MapLent.
static int lend(struct run *r, const struct step_bind *s, int tree) {
  const struct step_send send = {.event = EVENT_LENT, .first = s->tree, .count = 1};
  const struct step_receive receive = {.event = EVENT_HANDED, .first = s->tree, .count = 1};
  r->fds[s->tree] = tree;
  int error = do_send(r, &send);
  if (!error) error = do_receive(r, &receive);
  return error ? error : release(&r->fds[s->tree]);
}

int do_map_lent(struct run *r, const struct step_map_lent *s) {
  char path[PATH_SIZE];
  const struct step_receive receive = {.head = s->head, .event = EVENT_LENT, .first = s->fd, .count = 1};
  const struct step_send send = {.event = EVENT_HANDED, .first = s->fd, .count = 1};
  if (!path_in_rootfs(r, TEXT(source), path)) return 0;
  int error = do_receive(r, &receive);
  if (!error) error = map_ids(r, r->fds[s->fd], r->fds[s->mapping], NUMBER(mapping_recursive));
  return error ? error : do_send(r, &send);
}

// The source of a bind that OpenMount has left: the mounts before it are there by now.
static int open_in_rootfs(struct run *r, const struct step_bind *s) {
  char path[PATH_SIZE];
  const char *inside = path_in_rootfs(r, TEXT(source), path);
  CLOSING int from = inside ? resolve(r->rootfs, inside, O_PATH | (s->source_nofollow ? O_NOFOLLOW : 0)) : -ENOENT;
  if (from < 0) return from;
  CLOSING int tree = sys_open_tree(from, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | (s->recursive ? AT_RECURSIVE : 0));
  if (tree >= 0 && s->lend) return lend(r, s, release(&tree));
  if (tree < 0 || NUMBER(mapping) < 0) return release(&tree);
  int error = map_ids(r, tree, r->fds[s->mapping], NUMBER(mapping_recursive));
  return error ? error : release(&tree);
}

static int open_bind(struct run *r, const struct step_bind *s) {
  if (NUMBER(tree) < 0) return open_source(r, TEXT(source), NUMBER(recursive), NUMBER(source_nofollow));
  return r->fds[s->tree] < 0 ? open_in_rootfs(r, s) : release(&r->fds[s->tree]);
}

int source_failed(struct run *r, const char *source, int error) {
  if (error == -ENOENT && !strcmp(source, r->program->facts.rootfs))
    format(&r->detail,
        "the directory with the container's files is missing: make and fill it, or name another in root.path");
  return failing(r, "open_tree", error);
}

int do_open_mount(struct run *r, const struct step_open_mount *s) {
  char path[PATH_SIZE];
  if (s->leave && path_in_rootfs(r, TEXT(source), path)) return 0;
  CLOSING int tree = open_source(r, TEXT(source), NUMBER(recursive), NUMBER(nofollow));
  if (tree < 0) return source_failed(r, TEXT(source), tree);
  int error = set_propagation(r, tree, NUMBER(propagation), 1);
  if (!error && NUMBER(mapping) >= 0) error = map_ids(r, tree, r->fds[s->mapping], NUMBER(mapping_recursive));
  if (error) return error;
  r->fds[s->fd] = release(&tree);
  return 0;
}

// Makes a source that is a symlink anew at the target: 1; 0: it is none.
static int copy_symlink(struct run *r, const char *source, const char *target) {
  char link[4096], there[4096];
  const char *name;
  long n = sys4(SYS_readlinkat, AT_FDCWD, source, link, sizeof link - 1);
  if (n == -EINVAL || n == -ENOENT) return 0;
  if (n < 0) return failing(r, "readlink", (int)n);
  link[n] = 0;
  CLOSING int parent = resolve_parent(r, target, &name);
  if (parent < 0) return failing(r, "openat2", parent);
  int error = (int)sys3(SYS_symlinkat, link, parent, name);
  if (error == -EEXIST && sys4(SYS_readlinkat, parent, name, there, sizeof there) == n &&
      !memcmp(link, there, (size_t)n))
    error = 0;
  return error < 0 ? failing(r, "symlink", error) : 1;
}

static int change(struct run *r, int mount, uint64_t set, uint64_t clear, int recursive) {
  if (!(set | clear)) return 0;
  int error = sys_mount_setattr(mount, recursive ? AT_RECURSIVE : 0, set, clear, 0);
  return error < 0 ? failing(r, "mount_setattr", error) : 0;
}

// A user namespace may have locked some of them, and they stay.
static void clear_implied(int mount, uint64_t bits) {
  if (!bits || sys_mount_setattr(mount, 0, 0, bits, 0) == 0) return;
  for (uint64_t bit = 1; bit <= bits; bit <<= 1)
    if (bits & bit) sys_mount_setattr(mount, 0, 0, bit, 0);
}

int do_bind(struct run *r, const struct step_bind *s) {
  int copied = s->copy_symlink ? copy_symlink(r, TEXT(source), TEXT(target)) : 0;
  if (copied) return copied < 0 ? copied : 0;
  CLOSING int tree = open_bind(r, s);
  if (tree == -ENOENT && *TEXT(otherwise)) tree = open_source(r, TEXT(otherwise), NUMBER(recursive), 0);
  if (tree == -ENOENT && s->optional) return 0;
  if (tree < 0) return r->call ? tree : failing(r, "open_tree", tree);
  int error = change(r, tree, s->recursive_set, s->recursive_clear, 1);
  if (!error) error = change(r, tree, s->set, s->clear, 0);
  if (!error) clear_implied(tree, s->implied);
  if (!error) error = set_propagation(r, tree, NUMBER(propagation), NUMBER(propagation_recursive));
  if (error) return error;
  return place_mount(r, release(&tree), TEXT(target),
      s->on_proc           ? WAY_PROC_FILE
      : s->target_nofollow ? WAY_NOFOLLOW
                           : WAY_ORDINARY);
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
  int error = sys_mount_setattr(target, s->recursive ? AT_RECURSIVE : 0, s->set, s->clear, s->propagation);
  return error < 0 ? failing(r, "mount_setattr", error) : 0;
}

// ---- cgroups ----

static int cgroup_mount(struct run *r, const struct step_mount_cgroup *s) {
  int mount = new_filesystem(r, &(struct filesystem){TEXT(fstype), TEXT(fstype), TEXTS(options), 0}, NUMBER(set));
  if (mount != -EPERM && mount != -EBUSY) return mount;
  forget_detail(r);
  CLOSING int bind = open_source(r, TEXT(bind), 0, 0);
  if (bind < 0) return failing(r, "open_tree", bind);
  int error = change(r, bind, s->set, s->clear, 0);
  return error ? error : release(&bind);
}

int do_mount_cgroup(struct run *r, const struct step_mount_cgroup *s) {
  CLOSING int mount = cgroup_mount(r, s);
  if (mount < 0) return mount;
  int error = set_propagation(r, mount, NUMBER(propagation), NUMBER(propagation_recursive));
  return error ? error : place_mount(r, release(&mount), TEXT(target), WAY_ORDINARY);
}
