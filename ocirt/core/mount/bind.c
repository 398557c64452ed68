// Binds: their sources, which the runtime or init opens, and their attributes.

#include <string.h>

#include "executor/events.h"
#include "mount/filesystem.h"
#include "mount/mount.h"
#include "mount/target.h"

static int map_ids(struct run *r, int tree, int mapping, int64_t recursive) {
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)mapping};
  int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  int error = (int)sys5(SYS_mount_setattr, tree, "", flags, &attr, sizeof attr);
  if (error == -EINVAL) put(&r->detail, "this kernel maps no ids on the file system of the source");
  return called(r, "mount_setattr MOUNT_ATTR_IDMAP", error);
}

// Only the runtime may map the ids of a tree that init has opened in a user namespace: init lends it the tree, and the
// runtime's step MapLent hands it back.
static int lend(struct run *r, const struct step_bind *s, int tree) {
  r->fds[s->tree] = tree;
  int error = send_event(r, &(struct occurrence){EVENT_LENT, s->tree, 1, 0});
  if (!error) error = receive_event(r, &(struct occurrence){EVENT_HANDED, s->tree, 1, 0});
  return error ? error : release(&r->fds[s->tree]);
}

int do_map_lent(struct run *r, const struct step_map_lent *s) {
  char path[PATH_SIZE];
  if (!path_in_rootfs(r, TEXT(source), path)) return 0;
  int error = receive_event(r, &(struct occurrence){EVENT_LENT, s->fd, 1, 0});
  if (!error) error = map_ids(r, r->fds[s->fd], r->fds[s->mapping], NUMBER(mapping_recursive));
  return error ? error : send_event(r, &(struct occurrence){EVENT_HANDED, s->fd, 1, 0});
}

// Opens a source that OpenMount has left for init. One inside the rootfs by now shows the mounts before this one.
static int open_left(struct run *r, const struct step_bind *s) {
  char path[PATH_SIZE];
  const char *inside = path_in_rootfs(r, TEXT(source), path);
  if (!inside) return open_source(r, TEXT(source), NUMBER(recursive), NUMBER(source_nofollow));
  CLOSING int from = resolve(r->rootfs, inside, O_PATH | (s->source_nofollow ? O_NOFOLLOW : 0));
  if (from < 0) return from;
  CLOSING int tree = sys_open_tree(from, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | (s->recursive ? AT_RECURSIVE : 0));
  if (tree >= 0 && s->lend) return lend(r, s, release(&tree));
  int error = tree < 0 || NUMBER(mapping) < 0 ? 0 : map_ids(r, tree, r->fds[s->mapping], NUMBER(mapping_recursive));
  return error ? error : release(&tree);
}

static int open_bind(struct run *r, const struct step_bind *s) {
  char path[PATH_SIZE];
  // The host does not show what the container's own mount namespace has mounted on the rootfs.
  int inside = NUMBER(tree) < 0 ? r->own >= 0 && path_in_rootfs(r, TEXT(source), path) : r->fds[s->tree] < 0;
  if (inside) return open_left(r, s);
  if (NUMBER(tree) >= 0) return release(&r->fds[s->tree]);
  return open_source(r, TEXT(source), NUMBER(recursive), NUMBER(source_nofollow));
}

int do_open_mount(struct run *r, const struct step_open_mount *s) {
  char path[PATH_SIZE];
  if (s->leave && path_in_rootfs(r, TEXT(source), path)) return 0;
  CLOSING int tree = open_source(r, TEXT(source), NUMBER(recursive), NUMBER(nofollow));
  if (tree == -EPERM && s->leave_refused) return 0;
  if (tree < 0) return source_failed(r, TEXT(source), tree);
  int error = change_mount(r, tree, 1, 0, 0, s->propagation);
  if (!error && NUMBER(mapping) >= 0) error = map_ids(r, tree, r->fds[s->mapping], NUMBER(mapping_recursive));
  if (!error) r->fds[s->fd] = release(&tree);
  return error;
}

// Copies a source that is a symlink to the target: 1, or 0 if the source is none.
static int copy_symlink(struct run *r, const char *source, const char *target) {
  char link[PATH_SIZE], there[PATH_SIZE];
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

// Clears attributes that the options do not name. Those that a user namespace has locked stay.
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
  int error = change_mount(r, tree, 1, s->recursive_set, s->recursive_clear, 0);
  if (!error) error = change_mount(r, tree, 0, s->set, s->clear, 0);
  if (!error) clear_implied(tree, s->implied);
  if (!error) error = change_mount(r, tree, s->propagation_recursive, 0, 0, s->propagation);
  if (error) return error;
  return place_mount(r, release(&tree), TEXT(target),
      s->on_proc           ? WAY_PROC_FILE
      : s->target_nofollow ? WAY_NOFOLLOW
                           : WAY_ORDINARY);
}
