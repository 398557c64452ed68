// Steps on mounts: by descriptor only (open_tree, fsopen, mount_setattr, move_mount), targets resolved in the rootfs.
#include "core.h"

#include <string.h>
#include <sys/sysmacros.h>

#define MS_PRIVATE_ 0x40000
#define NEWNS 0x20000
#define DETACH 2 /* MNT_DETACH */

// Attaches the detached mount at the target; both descriptors are used up.
static int attach(struct run *r, int mount, int target) {
  int error = target < 0 ? target : sys_move_mount(mount, target);
  const char *call = target < 0 ? "openat2" : "move_mount";
  sys_close(mount); sys_close(target);
  return error < 0 ? failing(r, call, error) : 0;
}

static int set_propagation(struct run *r, int mount, int64_t propagation, int64_t recursive) {
  if (!propagation) return 0;
  int error = sys_mount_setattr(mount, recursive ? AT_RECURSIVE : 0, 0, 0, (uint64_t)propagation);
  return error < 0 ? failing(r, "mount_setattr", error) : 0;
}

int do_set_propagation(struct run *r, const struct step_set_propagation *s) {
  int root = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  if (root < 0) return failing(r, "open", root);
  int error = set_propagation(r, root, NUMBER(propagation), NUMBER(recursive));
  sys_close(root);
  return error;
}

// What covers masked files is taken while the host's /dev can still be reached, and must be the real null device.
static int take_null(struct run *r) {
  struct stat st;
  r->null = sys_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
  if (r->null < 0) return failing(r, "open_tree /dev/null", r->null);
  if (sys_fstat(r->null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
    return failing(r, "the host's /dev/null", -ENODEV);
  return 0;
}

// Into a mount namespace of our own, from which nothing propagates; ChangeRoot goes back.
static int step_aside(struct run *r) {
  if ((r->space = sys_open(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY, 0)) < 0) return failing(r, "open /proc/self/ns/mnt", r->space);
  int error = (int)sys1(SYS_unshare, NEWNS);
  if (error < 0) return failing(r, "unshare", error);
  int root = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  if (root < 0) return failing(r, "open", root);
  error = set_propagation(r, root, MS_PRIVATE_, 1);
  sys_close(root);
  return error;
}

static int keep_rootfs(struct run *r, int mount, const char *path, int64_t aside) {
  int moved = aside ? step_aside(r) : 0;
  if (moved < 0) { sys_close(mount); return moved; }
  int at = sys_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
  // In a user namespace the way there may be closed; pivot_root takes any place.
  if (at == -EACCES) at = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  int error = at < 0 ? at : sys_move_mount(mount, at);
  sys_close(at);
  if (error < 0) { sys_close(mount); return failing(r, at < 0 ? "open" : "move_mount", error); }
  r->rootfs = mount;
  return take_null(r);
}

static int open_source(const char *source, int64_t recursive, int64_t nofollow) {
  int dir = beneath_top(&source);
  return sys_open_tree(dir, source, OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0) | (nofollow ? AT_SYMLINK_NOFOLLOW : 0));
}

int do_open_rootfs(struct run *r, const struct step_open_rootfs *s) {
  int mount = NUMBER(tree) >= 0 ? r->fds[s->tree] : open_source(TEXT(path), NUMBER(recursive), 0);
  if (mount < 0) return failing(r, "open_tree", mount);
  struct stat st;
  if (sys_fstat(mount, &st) < 0 || !S_ISDIR(st.st_mode)) { sys_close(mount); return failing(r, "open_tree", -ENOTDIR); }
  return keep_rootfs(r, mount, TEXT(path), NUMBER(aside));
}

// ---- new file systems ----

// The kernel's own words on a refused option, without their leading "e ".
static int refused(struct run *r, int context, const char *option, int error) {
  char text[256];
  long n = sys_read(context, text, sizeof text);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == 0)) n--;
  if (option) { put(&r->detail, "option "); put(&r->detail, option); }
  if (option && n > 2) put(&r->detail, ": ");
  if (n > 2) put_bytes(&r->detail, text + 2, (size_t)n - 2);
  return failing(r, "fsconfig", error);
}

static int configure(struct run *r, int context, const char *key, const char *value) {
  int error = value ? (int)sys5(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0)
                    : (int)sys5(SYS_fsconfig, context, FSCONFIG_SET_FLAG, key, 0, 0);
  return error < 0 ? refused(r, context, key, error) : 0;
}

static int configure_option(struct run *r, int context, const char *option) {
  char key[256];
  const char *equals = strchr(option, '=');
  if (!equals) return configure(r, context, option, 0);
  size_t length = (size_t)(equals - option);
  if (length >= sizeof key) return failing(r, "fsconfig", -ENAMETOOLONG);
  memcpy(key, option, length);
  key[length] = 0;
  return configure(r, context, key, equals + 1);
}

// Creates the file system that the context describes: the context, or a negative errno.
static int create(struct run *r, int context) {
  int error = (int)sys5(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
  if (error >= 0) return context;
  error = refused(r, context, 0, error);
  sys_close(context);
  return error;
}

// The file system of the context as a detached mount, or a negative errno. The context is used up.
static int detached(struct run *r, int context, int64_t attributes) {
  if (context < 0) return context;
  int mount = (int)sys3(SYS_fsmount, context, 1 /* FSMOUNT_CLOEXEC */, attributes);
  if (mount < 0) r->call = "fsmount";
  sys_close(context);
  return mount;
}

static int open_context(struct run *r, const char *fstype) {
  int context = (int)sys2(SYS_fsopen, fstype, 1 /* FSOPEN_CLOEXEC */);
  return context < 0 ? failing(r, "fsopen", context) : context;
}

// Gives the new file system's root the permissions of the directory that it covers.
static int copy_mode(int covered, int mount) {
  struct stat st;
  int error = sys_fstat(covered, &st), root = sys_openat2(mount, ".", O_RDONLY | O_DIRECTORY, 0, 0);
  if (!error) error = root < 0 ? root : (int)sys2(SYS_fchmod, root, st.st_mode & 07777);
  sys_close(root);
  return error;
}

// A mount at the target of a pinned one covers it: paths beneath are this one's.
static void unpin(struct run *r, const char *target) {
  for (unsigned i = 0; i < r->n_pinned; i++)
    if (r->pinned[i].target && !strcmp(r->pinned[i].target, target)) r->pinned[i].target = 0;
}

static int pin(struct run *r, const char *target, int mount) {
  if (r->n_pinned == COUNT(r->pinned)) return failing(r, "pin", -E2BIG);
  int kept = sys_fcntl(mount, F_DUPFD_CLOEXEC, 3);
  if (kept < 0) return failing(r, "fcntl", kept);
  r->pinned[r->n_pinned].target = target;
  r->pinned[r->n_pinned++].mount = kept;
  return 0;
}

// What is masked, or made read-only: an O_PATH descriptor, found from the pinned mount that it lies in.
static int resolve_restricted(struct run *r, const char *path) {
  for (unsigned i = 0; i < r->n_pinned; i++) {
    size_t length = r->pinned[i].target ? strlen(r->pinned[i].target) : 0;
    if (length && !strncmp(path, r->pinned[i].target, length) && (path[length] == '/' || !path[length]))
      return resolve(r->pinned[i].mount, path + length, O_PATH);
  }
  return resolve(r->rootfs, path, O_PATH);
}

static int create_as(struct run *r, const char *fstype, const char *source, const struct texts *options) {
  int context = open_context(r, fstype), error = 0;
  if (context < 0) return context;
  if (*source) error = configure(r, context, "source", source);
  for (uint32_t i = 0; !error && i < options->count; i++) error = configure_option(r, context, options->items[i]);
  if (error) { sys_close(context); return error; }
  return create(r, context);
}

int do_open_filesystem(struct run *r, const struct step_open_filesystem *s) {
  int context = create_as(r, TEXT(fstype), TEXT(source), TEXTS(options));
  if (context < 0) return context;
  r->fds[s->fd] = context;
  return 0;
}

static int new_detached(struct run *r, const struct step_mount *s) {
  if (NUMBER(context) < 0) return detached(r, create_as(r, TEXT(fstype), TEXT(source), TEXTS(options)), NUMBER(set));
  int context = r->fds[s->context];
  r->fds[s->context] = -1;
  return detached(r, context, NUMBER(set));
}

// With `kept` a second descriptor of the mount stays open.
static int mount_keeping(struct run *r, const struct step_mount *s, int *kept) {
  int mount = !s->detached && NUMBER(mount) >= 0 ? r->fds[s->mount] : new_detached(r, s);
  if (mount < 0) return mount;
  if (kept && (*kept = sys_fcntl(mount, F_DUPFD_CLOEXEC, 3)) < 0) { sys_close(mount); return failing(r, "fcntl", *kept); }
  int error = set_propagation(r, mount, NUMBER(propagation), NUMBER(propagation_recursive));
  if (error) { sys_close(mount); return error; }
  if (s->detached) { r->fds[s->mount] = mount; return 0; }
  int covered = s->keep_mode ? resolve(r->rootfs, TEXT(target), O_PATH | O_DIRECTORY) : -1;
  if (covered >= 0) error = copy_mode(covered, mount);
  sys_close(covered);
  if (error < 0) { sys_close(mount); return failing(r, "fchmod", error); }
  if (s->pinned) forget_directory(r);
  int target = s->pinned ? resolve_or_make_plain(r->rootfs, TEXT(target)) : resolve_target(r, TEXT(target), MAKE_DIRECTORY);
  if (target == -ELOOP && s->pinned) put(&r->detail, "a link is on the way there");
  if (target >= 0 && s->tmpcopyup) {
    int from = sys_openat2(target, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH);
    error = from < 0 ? from : copy_tree(from, mount);
    sys_close(from);
    if (error < 0) { sys_close(mount); sys_close(target); return failing(r, "tmpcopyup", error); }
  }
  unpin(r, TEXT(target));
  if (target >= 0 && s->pinned && (error = pin(r, TEXT(target), mount)) < 0) { sys_close(mount); sys_close(target); return error; }
  return attach(r, mount, target);
}

int do_mount(struct run *r, const struct step_mount *s) { return mount_keeping(r, s, 0); }

// Kernels from 6.7 on take one option a layer, older ones all layers in one.
static int add_layers(struct run *r, int context, const struct texts *lower, int in_one) {
  BUFFER(joined, 4096);
  for (uint32_t i = 0; i < lower->count; i++) {
    int error = in_one ? 0 : (int)sys5(SYS_fsconfig, context, FSCONFIG_SET_STRING, "lowerdir+", lower->items[i], 0);
    if (error < 0) return refused(r, context, "lowerdir+", error);
    if (i) put(&joined, ":");
    put_layer(&joined, lower->items[i]);
  }
  if (!in_one) return 0;
  return joined.full ? failing(r, "lowerdir", -ENAMETOOLONG) : configure(r, context, "lowerdir", joined.data);
}

// A detached overlay, or a negative errno.
static int overlay(struct run *r, const struct step_overlay_rootfs *s, int in_one) {
  int context = open_context(r, "overlay");
  if (context < 0) return context;
  int error = configure(r, context, "source", "overlay");
  if (!error) error = add_layers(r, context, TEXTS(lower), in_one);
  if (!error && *TEXT(upper)) error = configure(r, context, "upperdir", TEXT(upper));
  if (!error && *TEXT(upper)) error = configure(r, context, "workdir", TEXT(work));
  if (error) { sys_close(context); return error; }
  return detached(r, create(r, context), 0);
}

int do_overlay_rootfs(struct run *r, const struct step_overlay_rootfs *s) {
  int mount = overlay(r, s, 0);
  if (mount == -EINVAL) {  // perhaps an older kernel; before 6.5 it says so only when the file system is created
    r->detail.used = 0;
    mount = overlay(r, s, 1);
  }
  return mount < 0 ? mount : keep_rootfs(r, mount, TEXT(path), NUMBER(aside));
}

// ---- binds ----

int bind_tree(struct run *r, int tree, const char *target, int nofollow) {
  struct stat st;
  int error = sys_fstat(tree, &st);
  if (error < 0) { sys_close(tree); return failing(r, "fstat", error); }
  enum make_kind kind = S_ISDIR(st.st_mode) ? MAKE_DIRECTORY : MAKE_FILE;
  return attach(r, tree, nofollow ? resolve_or_make_last(r, target, kind, 0755) : resolve_target(r, target, kind));
}

int do_open_mount(struct run *r, const struct step_open_mount *s) {
  int tree = open_source(TEXT(source), NUMBER(recursive), NUMBER(nofollow));
  if (tree < 0) return failing(r, "open_tree", tree);
  int error = set_propagation(r, tree, NUMBER(propagation), 1);
  if (!error && NUMBER(mapping) >= 0) {
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)r->fds[s->mapping]};
    error = (int)sys5(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | (s->mapping_recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);
    if (error < 0) failing(r, "mount_setattr MOUNT_ATTR_IDMAP", error);
  }
  if (error < 0) { sys_close(tree); return error; }
  r->fds[s->fd] = tree;
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
  int parent = resolve_parent(r, target, &name);
  if (parent < 0) return failing(r, "openat2", parent);
  int error = (int)sys3(SYS_symlinkat, link, parent, name);
  if (error == -EEXIST && sys4(SYS_readlinkat, parent, name, there, sizeof there) == n && !memcmp(link, there, (size_t)n)) error = 0;
  return error < 0 ? failing(r, "symlink", error) : 1;
}

int do_bind(struct run *r, const struct step_bind *s) {
  int copied = s->copy_symlink ? copy_symlink(r, TEXT(source), TEXT(target)) : 0;
  if (copied) return copied < 0 ? copied : 0;
  int tree = NUMBER(tree) >= 0 ? r->fds[s->tree] : open_source(TEXT(source), NUMBER(recursive), NUMBER(source_nofollow));
  if (tree == -ENOENT && s->otherwise && *TEXT(otherwise)) tree = open_source(TEXT(otherwise), NUMBER(recursive), 0);
  if (tree == -ENOENT && s->optional) return 0;
  if (tree < 0) return failing(r, "open_tree", tree);
  int error = 0;
  if (s->recursive_set | s->recursive_clear)
    error = sys_mount_setattr(tree, AT_RECURSIVE, s->recursive_set, s->recursive_clear, 0);
  if (!error && s->set | s->clear) error = sys_mount_setattr(tree, 0, s->set, s->clear, 0);
  if (error < 0) { sys_close(tree); return failing(r, "mount_setattr", error); }
  error = set_propagation(r, tree, NUMBER(propagation), NUMBER(propagation_recursive));
  if (error) { sys_close(tree); return error; }
  unpin(r, TEXT(target));
  return bind_tree(r, tree, TEXT(target), (int)s->target_nofollow);
}

int do_reconfigure_mount(struct run *r, const struct step_reconfigure_mount *s) {
  const struct texts *options = TEXTS(options);
  int target = resolve(r->rootfs, TEXT(target), O_PATH), error = 0;
  if (target < 0) return failing(r, "openat2", target);
  int context = (int)sys3(SYS_fspick, target, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
  sys_close(target);
  if (context < 0) return failing(r, "fspick", context);
  for (uint32_t i = 0; !error && i < options->count; i++) error = configure_option(r, context, options->items[i]);
  if (!error && (error = (int)sys5(SYS_fsconfig, context, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0)) < 0) refused(r, context, 0, error);
  sys_close(context);
  return error;
}

int do_mount_cgroup(struct run *r, const struct step_mount_cgroup *s) {
  struct step_mount fresh = {.head = s->head, .fstype = s->fstype, .source = s->fstype, .target = s->target,
    .options = s->options, .set = s->set, .context = -1, .mount = -1, .propagation = s->propagation, .propagation_recursive = s->propagation_recursive};
  int error = do_mount(r, &fresh);
  if (error != -EPERM && error != -EBUSY) return error;
  r->detail.used = r->detail.full = 0;
  r->detail.data[0] = 0;
  struct step_bind bind = {.head = s->head, .source = s->bind, .target = s->target, .tree = -1, .set = s->set, .clear = s->clear,
    .propagation = s->propagation, .propagation_recursive = s->propagation_recursive};
  return do_bind(r, &bind);
}

// In a file system of our own, which nobody else has reached yet, names need not be resolved.
static int bind_hierarchy(struct run *r, const struct step_mount_hierarchies *s, int top, uint32_t i) {
  const char *name = TEXTS(names)->items[i];
  int tree = open_source(TEXTS(sources)->items[i], 1, 0);
  if (tree == -ENOENT && TEXTS(otherwise)->count) tree = open_source(TEXTS(otherwise)->items[i], 1, 0);
  if (tree == -ENOENT && s->optional) return 0;
  if (tree < 0) return tree;
  int error = sys_mkdir(top, name, 0755);
  if (!error) error = (int)sys5(SYS_move_mount, tree, "", top, name, MOVE_MOUNT_F_EMPTY_PATH);
  sys_close(tree);
  return error;
}

static int fill_hierarchies(struct run *r, const struct step_mount_hierarchies *s, int top) {
  const struct texts *links = TEXTS(links), *to = TEXTS(to);
  int error = 0;
  for (uint32_t i = 0; i < TEXTS(names)->count; i++)
    if ((error = bind_hierarchy(r, s, top, i))) {
      put(&r->detail, TEXTS(sources)->items[i]);
      return failing(r, "bind", error);
    }
  for (uint32_t i = 0; i < links->count; i++)
    if ((error = (int)sys3(SYS_symlinkat, to->items[i], top, links->items[i])) < 0) return failing(r, "symlink", error);
  if (s->set | s->clear | s->propagation) error = sys_mount_setattr(top, AT_RECURSIVE, s->set, s->clear, s->propagation);
  if (!error && s->clear & s->top) error = sys_mount_setattr(top, 0, s->clear & s->top, 0, 0);
  return error < 0 ? failing(r, "mount_setattr", error) : 0;
}

int do_mount_hierarchies(struct run *r, const struct step_mount_hierarchies *s) {
  const struct texts *names = TEXTS(names), *others = TEXTS(otherwise);
  struct step_mount fresh = {.head = s->head, .fstype = s->fstype, .source = s->source, .target = s->target,
    .options = s->options, .set = s->top, .context = -1, .mount = -1};
  if (names->count != TEXTS(sources)->count || (others->count && others->count != names->count) || TEXTS(links)->count != TEXTS(to)->count)
    return failing(r, "check", -EINVAL);
  if (s->detached) return fill_hierarchies(r, s, r->fds[s->mount]);
  int top, error = mount_keeping(r, &fresh, &top);
  if (error) return error;
  error = fill_hierarchies(r, s, top);
  sys_close(top);
  return error;
}

int do_set_mount_attributes(struct run *r, const struct step_set_mount_attributes *s) {
  int target = resolve(r->rootfs, TEXT(target), O_PATH);
  if (target < 0) return failing(r, "openat2", target);
  unsigned recursive = s->recursive ? AT_RECURSIVE : 0;
  int error = sys_mount_setattr(target, recursive, s->set, s->clear, s->propagation);
  sys_close(target);
  return error < 0 ? failing(r, "mount_setattr", error) : 0;
}

// ---- masks ----

// The first mask of a kind is attached and stays open; later ones are clones of it, which is a mount of this namespace.
static int mask_with(struct run *r, int *mask, int attached, int target) {
  int mount = attached ? sys_open_tree(*mask, "", OPEN_TREE_CLONE | AT_EMPTY_PATH) : *mask;
  int error = mount < 0 ? mount : sys_move_mount(mount, target);
  if (attached) sys_close(mount);
  sys_close(target);
  return error < 0 ? failing(r, "move_mount", error) : 0;
}

int do_mask_path(struct run *r, const struct step_mask_path *s) {
  struct stat st;
  int target = resolve_restricted(r, TEXT(path));
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return failing(r, "openat2", target);
  int error = sys_fstat(target, &st);
  if (error < 0) { sys_close(target); return failing(r, "fstat", error); }
  if (!S_ISDIR(st.st_mode)) {
    error = mask_with(r, &r->null, r->null_attached, target);
    if (!error) r->null_attached = 1;
    return error;
  }
  int fresh = r->empty < 0;
  if (fresh) {
    int context = open_context(r, "tmpfs");
    if (context >= 0 && (error = configure(r, context, "nr_blocks", "1"))) sys_close(context);
    else if (context >= 0 && (error = configure(r, context, "nr_inodes", "1"))) sys_close(context);
    else error = context < 0 ? context : (r->empty = detached(r, create(r, context), MOUNT_ATTR_RDONLY));
    if (error < 0) { sys_close(target); return error; }
  }
  return mask_with(r, &r->empty, !fresh, target);
}

int do_readonly_path(struct run *r, const struct step_readonly_path *s) {
  int target = resolve_restricted(r, TEXT(path));
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return failing(r, "openat2", target);
  int tree = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) { sys_close(target); return failing(r, "open_tree", tree); }
  int error = sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0);
  if (error < 0) { sys_close(tree); sys_close(target); return failing(r, "mount_setattr", error); }
  return attach(r, tree, target);
}

// ---- the root ----

int do_pivot_root(struct run *r, const struct step_pivot_root *s) {
  (void)s;
  leave_top();
  int old = sys_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0), error;
  if (old < 0) return failing(r, "open", old);
  if ((error = sys_fchdir(r->rootfs)) < 0) r->call = "fchdir";
  else if ((error = (int)sys2(SYS_pivot_root, ".", ".")) < 0) r->call = "pivot_root";
  else if ((error = sys_fchdir(old)) < 0) r->call = "fchdir";
  // It does not reach the host's mounts: SetPropagation has made slaves of all of these, or private ones.
  else if ((error = (int)sys2(SYS_umount2, ".", DETACH)) < 0) r->call = "umount2";
  else if ((error = sys_chdir("/")) < 0) r->call = "chdir";
  sys_close(old);
  return error;
}

int do_move_root(struct run *r, const struct step_move_root *s) {
  (void)s;
  leave_top();
  // The old root stays beneath: whole views of the host's proc and sysfs are taken out of it as far as they go.
  static const char *const views[] = {"/proc", "/sys"};
  for (unsigned i = 0; i < COUNT(views); i++) sys2(SYS_umount2, views[i], DETACH);
  int error = sys_fchdir(r->rootfs);
  if (error < 0) return failing(r, "fchdir", error);
  if ((error = (int)sys5(SYS_mount, ".", "/", 0, 0x2000 /* MS_MOVE */, 0)) < 0) return failing(r, "move", error);
  if ((error = (int)sys1(SYS_chroot, ".")) < 0) return failing(r, "chroot", error);
  return (error = sys_chdir("/")) < 0 ? failing(r, "chdir", error) : 0;
}

int do_change_root(struct run *r, const struct step_change_root *s) {
  (void)s;
  leave_top();
  // The clone is attached nowhere, and outlives the namespace that it was made in.
  int tree = sys_open_tree(r->rootfs, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) return failing(r, "open_tree", tree);
  sys_close(r->rootfs);
  r->rootfs = tree;
  int error = (int)sys2(SYS_setns, r->space, NEWNS);
  sys_close(r->space);
  if (error < 0) return failing(r, "setns", error);
  error = sys_fchdir(r->rootfs);
  if (error < 0) return failing(r, "fchdir", error);
  return (error = (int)sys1(SYS_chroot, ".")) < 0 ? failing(r, "chroot", error) : 0;
}
