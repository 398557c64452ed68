// New file systems as detached mounts, by fsopen(2) and what follows; by mount(2) where an option is too long for that.
#include "mount/filesystem.h"

#include <string.h>
#include <sys/mount.h>

int is_directory(int fd) {
  struct stat st;
  return sys_fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

int attach(struct run *r, int mount, int target) {
  CLOSING int from = mount;
  CLOSING int to = target;
  if (to < 0) return failing(r, "openat2", to);
  int error = sys_move_mount(from, to);
  // move_mount(2) says EINVAL, where mount(2) and those who explain its errors say this.
  if (error == -EINVAL && is_directory(from) != is_directory(to)) {
    format(&r->detail, "a %s is mounted on a %s", is_directory(from) ? "directory" : "file",
        is_directory(to) ? "directory" : "file");
    error = -ENOTDIR;
  }
  return error < 0 ? failing(r, "move_mount", error) : 0;
}

int set_propagation(struct run *r, int mount, int64_t propagation, int64_t recursive) {
  if (!propagation) return 0;
  int error = sys_mount_setattr(mount, recursive ? AT_RECURSIVE : 0, 0, 0, (uint64_t)propagation);
  return error < 0 ? failing(r, "mount_setattr", error) : 0;
}

#define VALUE_MAX 255 // bytes of a string for fsconfig(2)

#define PAGE_OF_OPTIONS 4096 // with a NUL, for mount(2)

static int sys_fsconfig(int context, unsigned command, const char *key, const void *value, int fd) {
  return (int)sys5(SYS_fsconfig, context, command, key, value, fd);
}

// The kernel's own words on a refused option, without their leading "e ".
int refused(struct run *r, int context, const char *option, int error) {
  char text[256];
  long n = sys_read(context, text, sizeof text - 1);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == 0))
    n--;
  text[n > 0 ? n : 0] = 0;
  if (option) format(&r->detail, n > 2 ? "option %s: " : "option %s", option);
  if (n > 2) put(&r->detail, text + 2);
  return failing(r, "fsconfig", error);
}

// Where the file system takes a descriptor for a path (overlay since Linux 6.13) that has no limit. -E2BIG: it does
// not.
static int configure_path(int context, const char *key, const char *path) {
  CLOSING int fd = *path == '/' ? sys_open(AT_FDCWD, path, O_PATH, 0) : -E2BIG;
  return fd < 0 || sys_fsconfig(context, FSCONFIG_SET_FD, key, 0, fd) < 0 ? -E2BIG : 0;
}

int configure(struct run *r, int context, const char *key, const char *value) {
  if (value && strlen(value) > VALUE_MAX) {
    if (configure_path(context, key, value) == 0) return 0;
    return failing(r, "fsconfig", -E2BIG);
  }
  int error = sys_fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
  return error < 0 ? refused(r, context, key, error) : 0;
}

// A layer of an overlay. -E2BIG: the kernel, older than 6.8, takes only all in one.
static int add_layer(struct run *r, int context, const char *layer) {
  if (strlen(layer) > VALUE_MAX) return configure(r, context, "lowerdir+", layer);
  int error = sys_fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", layer, 0);
  if (error < 0) refused(r, context, layer, error);
  return error == -EINVAL ? -E2BIG : error;
}

// The layers of a lowerdir that is too long as one string. An empty one is the sign of data-only layers, left to the
// kernel's parser.
static int add_layers(struct run *r, int context, const char *joined) {
  char layer[PATH_SIZE];
  for (size_t used = 0; used < sizeof layer; joined++) {
    if (*joined == '\\' && joined[1]) {
      layer[used++] = *++joined;
    } else if (*joined && *joined != ':') {
      layer[used++] = *joined;
    } else {
      layer[used] = 0;
      int error = used ? add_layer(r, context, layer) : failing(r, "fsconfig", -E2BIG);
      if (error || !*joined) return error;
      used = 0;
    }
  }
  return failing(r, "fsconfig", -ENAMETOOLONG);
}

static int configure_option(struct run *r, int context, const char *option) {
  char key[VALUE_MAX + 1];
  const char *equals = strchr(option, '=');
  if (!equals) return configure(r, context, option, 0);
  size_t length = (size_t)(equals - option);
  if (length >= sizeof key) return failing(r, "fsconfig", -ENAMETOOLONG);
  memcpy(key, option, length);
  key[length] = 0;
  if (!strcmp(key, "lowerdir") && strlen(equals + 1) > VALUE_MAX) return add_layers(r, context, equals + 1);
  return configure(r, context, key, equals + 1);
}

int configure_all(struct run *r, int context, const struct texts *options) {
  int error = 0;
  for (uint32_t i = 0; !error && i < options->count; i++)
    error = configure_option(r, context, options->items[i]);
  return error;
}

// A detached mount. -E2BIG: an option is too long for fsconfig(2).
static int make_filesystem(struct run *r, const struct filesystem *f, int64_t attributes) {
  CLOSING int context = (int)sys2(SYS_fsopen, f->type, FSOPEN_CLOEXEC);
  if (context < 0) return failing(r, "fsopen", context);
  int error = *f->source ? configure(r, context, "source", f->source) : 0;
  for (uint32_t i = 0; !error && f->layers && i < f->layers->count; i++)
    error = add_layer(r, context, f->layers->items[i]);
  if (!error) error = configure_all(r, context, f->options);
  if (error) return error;
  error = sys_fsconfig(context, FSCONFIG_CMD_CREATE, 0, 0, 0);
  if (error < 0) return refused(r, context, 0, error);
  int mount = (int)sys3(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
  return mount < 0 ? failing(r, "fsmount", mount) : mount;
}

// ---- mount(2) ----

static const struct {
  const char *option;
  unsigned long flag;
} flags[] = {
    {"ro", MS_RDONLY},
    {"sync", MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC},
    {"mand", MS_MANDLOCK},
    {"lazytime", MS_LAZYTIME},
    {"rw", 0},
    {"async", 0},
    {"nomand", 0},
    {"nolazytime", 0},
};

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
  for (uint32_t i = 0; i < f->options->count; i++)
    if (!take_flag(f->options->items[i], &found)) format(page, page->used ? ",%s" : "%s", f->options->items[i]);
  return found;
}

// Mounts it where nobody else gets to, in the directory `scratch` of this mount namespace, and gives a detached clone
// of that.
static int mount_in(struct run *r, const struct filesystem *f, int scratch, unsigned long with, const char *options) {
  CLOSING int place = sys_openat2(scratch, "mount", O_PATH | O_DIRECTORY, 0, RESOLVE_BENEATH);
  int error = place < 0 ? place : sys_fchdir(place);
  if (error < 0) return failing(r, "fchdir", error);
  if ((error = (int)sys5(SYS_mount, f->source, ".", f->type, with, options)) < 0) return failing(r, "mount", error);
  int clone = sys_open_tree(scratch, "mount", OPEN_TREE_CLONE);
  return clone < 0 ? failing(r, "open_tree", clone) : clone;
}

int lay_over_root(struct run *r, int mount) {
  CLOSING int root = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  int error = root < 0 ? root : sys_move_mount(mount, root);
  return error < 0 ? failing(r, "move_mount", error) : 0;
}

void take_off_root(int mount, int directory) {
  sys_fchdir(mount);
  sys2(SYS_umount2, ".", MNT_DETACH);
  sys_fchdir(directory);
}

static int by_page(struct run *r, const struct filesystem *f, int64_t attributes) {
  static const struct texts none;
  const struct filesystem empty = {"tmpfs", "tmpfs", &none, 0};
  BUFFER(page, PAGE_OF_OPTIONS);
  unsigned long with = put_options(&page, f);
  if (page.full) {
    format(&r->detail, "its options are longer than the %d bytes that the kernel takes", PAGE_OF_OPTIONS - 1);
    return failing(r, "mount", -E2BIG);
  }
  CLOSING int scratch = make_filesystem(r, &empty, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  CLOSING int here = sys_open(AT_FDCWD, ".", O_PATH | O_DIRECTORY, 0);
  if (scratch < 0) return scratch;
  int error = here < 0 ? here : sys_mkdir(scratch, "mount", 0700);
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
  // Layers: before Linux 6.5 overlay says only when it is made what it does not know.
  if (mount != -E2BIG && !(mount == -EINVAL && f->layers)) return mount;
  int page = by_page(r, f, attributes);
  if (page < 0) return page;
  r->detail.used = r->detail.full = 0;
  r->detail.data[0] = 0;
  return page;
}
