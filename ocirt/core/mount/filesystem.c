#include "mount/filesystem.h"

#include <string.h>
#include <sys/mount.h>
#include <linux/sched.h>

int is_directory(int fd) {
  struct stat st;
  return sys_fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

// Clones the tree without the files of mount namespaces in it: the kernel attaches none of an older namespace (ELOOP),
// and leaves them out of a new one.
static int without_mntns(struct run *r, int tree) {
  int error = (int)sys2(SYS_setns, r->space, CLONE_NEWNS);
  if (error < 0) return error;
  CLOSING int other = sys_open_tree(tree, "", OPEN_TREE_NAMESPACE | AT_RECURSIVE | AT_EMPTY_PATH);
  error = other < 0 ? other : (int)sys2(SYS_setns, other, CLONE_NEWNS);
  CLOSING int clone = error < 0 ? error : sys_open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | AT_RECURSIVE);
  error = (int)sys2(SYS_setns, r->own, CLONE_NEWNS);
  return error < 0 ? error : release(&clone);
}

int attach(struct run *r, int mount, int target) {
  CLOSING int from = mount;
  CLOSING int to = target;
  if (to < 0) return failing(r, "openat2", to);
  int error = sys_move_mount(from, to);
  if (error == -ELOOP && r->space >= 0) {
    CLOSING int clone = without_mntns(r, from);
    error = clone < 0 ? clone : sys_move_mount(clone, to);
  }
  // For a file on a directory move_mount(2) returns EINVAL. Engines look for the ENOTDIR of mount(2).
  if (error == -EINVAL && is_directory(from) != is_directory(to)) {
    format(&r->detail, "a %s is mounted on a %s", is_directory(from) ? "directory" : "file",
        is_directory(to) ? "directory" : "file");
    error = -ENOTDIR;
  }
  return error < 0 ? failing(r, "move_mount", error) : 0;
}

int change_mount(struct run *r, int mount, uint64_t recursive, uint64_t set, uint64_t clear, uint64_t propagation) {
  if (!(set | clear | propagation)) return 0;
  return called(r, "mount_setattr", sys_mount_setattr(mount, recursive ? AT_RECURSIVE : 0, set, clear, propagation));
}

#define VALUE_MAX 255 // bytes of a string for fsconfig(2)

static int sys_fsconfig(int context, unsigned command, const char *key, const void *value, int fd) {
  return (int)sys5(SYS_fsconfig, context, command, key, value, fd);
}

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

// Gives the file system a descriptor, for which no limit holds, instead of a path: overlay takes one since Linux 6.13.
// -E2BIG: the file system takes none.
static int configure_path(int context, const char *key, const char *path) {
  CLOSING int fd = *path == '/' ? sys_open(AT_FDCWD, path, O_PATH, 0) : -E2BIG;
  return fd < 0 || sys_fsconfig(context, FSCONFIG_SET_FD, key, 0, fd) < 0 ? -E2BIG : 0;
}

static int configure(struct run *r, int context, const char *key, const char *value) {
  if (value && strlen(value) > VALUE_MAX) return called(r, "fsconfig", configure_path(context, key, value));
  int error = sys_fsconfig(context, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, key, value, 0);
  return error < 0 ? refused(r, context, key, error) : 0;
}

// Adds a layer to an overlay. -E2BIG: the kernel, before 6.8, takes all layers in one string only. It refuses the first
// one then; what it refuses later is wrong itself.
static int add_layer(struct run *r, int context, const char *layer, int is_first) {
  if (strlen(layer) > VALUE_MAX) return configure(r, context, "lowerdir+", layer);
  int error = sys_fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", layer, 0);
  if (error < 0) refused(r, context, layer, error);
  return error == -EINVAL && is_first ? -E2BIG : error;
}

// Adds the layers of a lowerdir that is too long for one string. An empty layer announces data-only layers, which only
// the kernel's own parser takes.
static int add_layers(struct run *r, int context, const char *joined) {
  char layer[PATH_SIZE];
  int is_first = 1;
  for (size_t used = 0; used < sizeof layer; joined++) {
    if (*joined == '\\' && joined[1]) {
      layer[used++] = *++joined;
    } else if (*joined && *joined != ':') {
      layer[used++] = *joined;
    } else {
      layer[used] = 0;
      int error = used ? add_layer(r, context, layer, is_first) : failing(r, "fsconfig", -E2BIG);
      if (error || !*joined) return error;
      used = is_first = 0;
    }
  }
  return refused(r, context, "lowerdir", -ENAMETOOLONG);
}

static int configure_option(struct run *r, int context, const char *option) {
  char key[VALUE_MAX + 1];
  const char *equals = strchr(option, '=');
  if (!equals) return configure(r, context, option, 0);
  size_t length = (size_t)(equals - option);
  if (length >= sizeof key) return refused(r, context, option, -ENAMETOOLONG);
  memcpy(key, option, length);
  key[length] = 0;
  if (!strcmp(key, "lowerdir") && strlen(equals + 1) > VALUE_MAX) return add_layers(r, context, equals + 1);
  return configure(r, context, key, equals + 1);
}

int configure_all(struct run *r, int context, const struct texts *options) {
  int error = 0;
  for (uint32_t i = 0; !error && options && i < options->count; i++)
    error = configure_option(r, context, options->items[i]);
  return error;
}

int make_filesystem(struct run *r, const struct filesystem *f, int64_t attributes) {
  CLOSING int context = (int)sys2(SYS_fsopen, f->type, FSOPEN_CLOEXEC);
  if (context < 0) return failing(r, "fsopen", context);
  int error = *f->source ? configure(r, context, "source", f->source) : 0;
  for (uint32_t i = 0; !error && f->layers && i < f->layers->count; i++)
    error = add_layer(r, context, f->layers->items[i], i == 0);
  if (!error) error = configure_all(r, context, f->options);
  if (error) return error;
  error = sys_fsconfig(context, FSCONFIG_CMD_CREATE, 0, 0, 0);
  if (error < 0) return refused(r, context, 0, error);
  int mount = (int)sys3(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
  return mount < 0 ? failing(r, "fsmount", mount) : mount;
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
