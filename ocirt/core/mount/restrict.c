// Steps that mask paths of the container or make them read-only.

#include "mount/by_page.h"
#include "mount/views.h"

// The first mask of a kind is attached itself. Later ones are clones of it: only an attached mount of this namespace
// can be cloned.
static int mask_with(struct run *r, int mask, int attached, int target) {
  CLOSING int clone = attached ? sys_open_tree(mask, "", OPEN_TREE_CLONE | AT_EMPTY_PATH) : -1;
  if (attached && clone < 0) return failing(r, "open_tree", clone);
  return called(r, "move_mount", sys_move_mount(attached ? clone : mask, target));
}

// A read-only file system with no room for anything.
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
  int error = change_mount(r, tree, 1, MOUNT_ATTR_RDONLY, 0, 0);
  return error ? error : attach(r, release(&tree), release(&target));
}
