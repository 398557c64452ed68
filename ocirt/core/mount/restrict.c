// Views of the kernel in the container, procfs and sysfs: what may be mounted in them, and what of them is masked or
// read-only.
#include "mount/restrict.h"

#include <string.h>
#include <linux/magic.h>

#include "base/files.h"
#include "base/memory.h"
#include "executor/target.h"
#include "mount/filesystem.h"

struct view {
  struct view *next;
  int mount;
  enum view_kind kind;
  char place[];
};

// `place` is clean; what lies beneath it is `path`'s end, which begins with a slash or is empty. Null: path does not
// lie there.
static const char *beneath(const char *path, const char *place) {
  size_t length = place[1] ? strlen(place) : 0;
  return !strncmp(path, place, length) && (!path[length] || path[length] == '/') ? path + length : 0;
}

static int clean(const char *path, char *out, size_t size) {
  size_t length = strlen(path);
  if (length + 2 > size) return -ENAMETOOLONG;
  out[clean_path(path, length, out)] = 0;
  return 0;
}

const char *path_in_rootfs(const struct run *r, const char *path, char *out) {
  char root[PATH_SIZE];
  const char *rootfs = r->program->facts.rootfs;
  return clean(path, out, PATH_SIZE) == 0 && clean(rootfs, root, sizeof root) == 0 ? beneath(out, root) : 0;
}

enum view_kind view_of(int fd) {
  struct stat st;
  long type = filesystem_of(fd);
  if (type != PROC_SUPER_MAGIC && type != SYSFS_MAGIC) return NO_VIEW;
  return sys_fstat(fd, &st) == 0 && st.st_ino == 1 ? WHOLE_VIEW : PART_OF_VIEW;
}

static void cover(struct run *r, const char *place) {
  for (struct view **at = &r->views; *at;) {
    struct view *view = *at;
    if (!beneath(view->place, place)) {
      at = &view->next;
      continue;
    }
    sys_close(view->mount);
    *at = view->next;
  }
}

static int pin(struct run *r, const char *place, int mount, enum view_kind kind) {
  struct view *view = more_memory(sizeof *view + strlen(place) + 1);
  if (!view) return -ENOMEM;
  if ((view->mount = sys_fcntl(mount, F_DUPFD_CLOEXEC, 3)) < 0) return view->mount;
  memcpy(view->place, place, strlen(place) + 1);
  view->kind = kind;
  view->next = r->views;
  r->views = view;
  return 0;
}

int note_mount(struct run *r, const char *target, int mount, enum view_kind kind) {
  char place[PATH_SIZE];
  int error = clean(target, place, sizeof place);
  if (error < 0) return error;
  cover(r, place);
  if (kind != NO_VIEW && (error = pin(r, place, mount, kind)) < 0) return error;
  if (place[1]) return 0;
  int root = sys_fcntl(mount, F_DUPFD_CLOEXEC, 3);
  if (root < 0) return root;
  forget_directory(r);
  sys_close(r->rootfs);
  r->rootfs = root;
  return 0;
}

// The views that came last cover those before: the first that is found is the one that is seen.
static int resolve_in_view(struct run *r, const char *path, int whole) {
  char sought[PATH_SIZE];
  if (!r->views) return -ENXIO;
  int error = clean(path, sought, sizeof sought);
  if (error < 0) return error;
  for (const struct view *view = r->views; view; view = view->next) {
    const char *rest = beneath(sought, view->place);
    if (rest) return whole && view->kind != WHOLE_VIEW ? -EPERM : resolve(view->mount, rest, O_PATH);
  }
  return -ENXIO;
}

int resolve_seen(struct run *r, const char *path) {
  int fd = resolve_in_view(r, path, 0);
  return fd == -ENXIO ? resolve(r->rootfs, path, O_PATH) : fd;
}

static int find_place(struct run *r, const char *path, enum make_kind kind, enum way way) {
  if (way == WAY_PLAIN) {
    forget_directory(r);
    int fd = resolve_or_make_plain(r->rootfs, path);
    if (fd == -ELOOP) format(&r->detail, "a link is on the way there");
    return fd;
  }
  return way == WAY_NOFOLLOW ? resolve_or_make_last(r, path, kind, 0755) : resolve_target(r, path, kind);
}

int resolve_place(struct run *r, const char *path, enum make_kind kind, enum way way) {
  if (way == WAY_PROC_FILE) {
    int fd = resolve_in_view(r, path, 1);
    if (fd == -EPERM) format(&r->detail, "what is mounted of procfs there is a part of it");
    if (fd != -ENXIO) return fd;
  }
  CLOSING int place = find_place(r, path, kind, way);
  struct stat st;
  if (place < 0 || filesystem_of(place) != PROC_SUPER_MAGIC) return release(&place);
  int error = sys_fstat(place, &st);
  if (error < 0 || st.st_ino == 1) return error < 0 ? error : release(&place);
  format(&r->detail, "inside of a procfs mounts are allowed only on those files of /proc that docs/spec.md lists");
  return -EPERM;
}

// ---- steps ----

// The first mask of a kind is attached and stays open; later ones are clones of it, which is a mount of this namespace.
static int mask_with(struct run *r, int mask, int attached, int target) {
  CLOSING int clone = attached ? sys_open_tree(mask, "", OPEN_TREE_CLONE | AT_EMPTY_PATH) : -1;
  if (attached && clone < 0) return failing(r, "open_tree", clone);
  int error = sys_move_mount(attached ? clone : mask, target);
  return error < 0 ? failing(r, "move_mount", error) : 0;
}

// A file system without room for anything.
static int open_empty(struct run *r) {
  const char *options[] = {"nr_blocks=1", "nr_inodes=1"};
  const struct texts both = {options, COUNT(options)};
  return new_filesystem(r, &(struct filesystem){"tmpfs", "", &both, 0}, MOUNT_ATTR_RDONLY);
}

int do_mask_path(struct run *r, const struct step_mask_path *s) {
  struct stat st;
  CLOSING int target = resolve_seen(r, TEXT(path));
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return failing(r, "openat2", target);
  int error = sys_fstat(target, &st);
  if (error < 0) return failing(r, "fstat", error);
  if (!S_ISDIR(st.st_mode)) {
    error = mask_with(r, r->null, r->null_attached, target);
    if (!error) r->null_attached = 1;
    return error;
  }
  int fresh = r->empty < 0;
  if (fresh && (r->empty = open_empty(r)) < 0) return r->empty;
  return mask_with(r, r->empty, !fresh, target);
}

int do_readonly_path(struct run *r, const struct step_readonly_path *s) {
  CLOSING int target = resolve_seen(r, TEXT(path));
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return failing(r, "openat2", target);
  CLOSING int tree = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (tree < 0) return failing(r, "open_tree", tree);
  int error = sys_mount_setattr(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0);
  if (error < 0) return failing(r, "mount_setattr", error);
  return attach(r, release(&tree), release(&target));
}
