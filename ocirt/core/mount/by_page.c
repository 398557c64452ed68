// New file systems whose options are too long for fsconfig(2): by mount(2), which takes a page of them.
#include "mount/by_page.h"

#include <string.h>
#include <sys/mount.h>

#include "base/need.h"

#define PLACE "mount" // the directory for the mount on a file system of its own

static const struct {
  const char *option;
  unsigned long flag;
} flags[] = {SUPERBLOCK_FLAGS};

static int take_flag(const char *option, unsigned long *found) {
  for (unsigned i = 0; i < COUNT(flags); i++)
    if (!strcmp(option, flags[i].option)) {
      *found |= flags[i].flag;
      return 1;
    }
  return 0;
}

static unsigned long put_options(struct buffer *page, const struct filesystem *f) {
  unsigned long found = 0;
  for (uint32_t i = 0; f->layers && i < f->layers->count; i++) {
    put(page, i ? ":" : "lowerdir=");
    put_layer(page, f->layers->items[i]);
  }
  for (uint32_t i = 0; f->options && i < f->options->count; i++)
    if (!take_flag(f->options->items[i], &found)) format(page, page->used ? ",%s" : "%s", f->options->items[i]);
  return found;
}

// Mounts the file system in `scratch`, which only this process can reach, and clones it: a detached mount.
static int mount_in(struct run *r, const struct filesystem *f, int scratch, unsigned long with, const char *options) {
  // The parent of the root is what lies over it. The options may name paths relative to the working directory.
  int error = (int)sys5(SYS_mount, f->source, "/../" PLACE, f->type, with, options);
  if (error < 0) return failing(r, "mount", error);
  int clone = sys_open_tree(scratch, PLACE, OPEN_TREE_CLONE);
  return clone < 0 ? failing(r, "open_tree", clone) : clone;
}

static int by_page(struct run *r, const struct filesystem *f, int64_t attributes) {
  const struct filesystem empty = {"tmpfs", "tmpfs", 0, 0};
  struct buffer page = arena_buffer(page_size() - 1);
  unsigned long with = put_options(&page, f);
  if (page.full || strlen(f->source) >= PATH_SIZE) {
    const char *what = page.full ? "options are" : "source is";
    int most = page.full ? (int)page.size - 1 : PATH_SIZE - 1;
    format(&r->detail, "its %s longer than the %d bytes that the kernel takes", what, most);
    return failing(r, "mount", -E2BIG);
  }
  CLOSING int scratch = make_filesystem(r, &empty, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  CLOSING int here = sys_open(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0);
  if (scratch < 0) return scratch;
  int error = here < 0 ? here : sys_mkdir(scratch, PLACE, 0700);
  if (error < 0) return failing(r, "mkdir", error);
  if ((error = lay_over_root(r, scratch))) return error;
  CLOSING int mount = mount_in(r, f, scratch, with, page.data);
  take_off_root(scratch, here);
  if (mount < 0) return mount;
  error = sys_mount_setattr(mount, 0, (uint64_t)attributes, 0, 0);
  return error < 0 ? failing(r, "mount_setattr", error) : release(&mount);
}

int new_filesystem(struct run *r, const struct filesystem *f, int64_t attributes) {
  int mount = make_filesystem(r, f, attributes);
  // Before Linux 6.5 overlay refuses unknown options only when the file system is created.
  if (mount != -E2BIG && !(mount == -EINVAL && f->layers)) return mount;
  forget_detail(r); // what the first way has failed with
  return by_page(r, f, attributes);
}
