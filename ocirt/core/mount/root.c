// The steps that make a directory or an overlay the rootfs, and the rootfs the root.

#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <linux/sched.h>

#include "base/cgroupfs.h"
#include "base/memory.h"
#include "mount/filesystem.h"
#include "mount/mount.h"

// What covers masked files is taken while the host's /dev can still be reached, and must be the real null device.
static int take_null(struct run *r) {
  struct stat st;
  r->null = sys_open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE);
  if (r->null < 0) return failing(r, "open_tree /dev/null", r->null);
  if (sys_fstat(r->null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
    return failing(r, "the host's /dev/null", -ENODEV);
  return 0;
}

static int set_propagation_of_all(struct run *r, int64_t propagation, int64_t recursive) {
  CLOSING int root = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  return root < 0 ? failing(r, "open", root) : set_propagation(r, root, propagation, recursive);
}

int do_set_propagation(struct run *r, const struct step_set_propagation *s) {
  return set_propagation_of_all(r, NUMBER(propagation), NUMBER(recursive));
}

// Into a mount namespace of our own, from which nothing propagates; ChangeRoot goes back.
static int enter_private_mntns(struct run *r) {
  if ((r->space = sys_open(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY, 0)) < 0)
    return failing(r, "open /proc/self/ns/mnt", r->space);
  int error = (int)sys1(SYS_unshare, CLONE_NEWNS);
  return error < 0 ? failing(r, "unshare", error) : set_propagation_of_all(r, MS_PRIVATE, 1);
}

static int keep_rootfs(struct run *r, int from, const char *path) {
  CLOSING int mount = from;
  CLOSING int at = sys_open(AT_FDCWD, path, O_PATH | O_DIRECTORY, 0);
  // In a user namespace the way there may be closed; pivot_root takes any place.
  if (at == -EACCES) at = sys_open(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  if (at < 0) return failing(r, "open", at);
  int error = sys_move_mount(mount, at);
  if (error < 0) return failing(r, "move_mount", error);
  r->rootfs = release(&mount);
  return take_null(r);
}

int do_open_rootfs(struct run *r, const struct step_open_rootfs *s) {
  int error = s->private_mntns ? enter_private_mntns(r) : 0;
  if (error < 0) return error;
  CLOSING int mount = NUMBER(tree) >= 0 ? release(&r->fds[s->tree]) : open_source(TEXT(path), NUMBER(recursive), 0);
  struct stat st;
  if (mount < 0) return source_failed(r, TEXT(path), mount);
  if (sys_fstat(mount, &st) < 0 || !S_ISDIR(st.st_mode)) return failing(r, "open_tree", -ENOTDIR);
  return keep_rootfs(r, release(&mount), TEXT(path));
}

int do_overlay_rootfs(struct run *r, const struct step_overlay_rootfs *s) {
  int error = s->private_mntns ? enter_private_mntns(r) : 0;
  if (error < 0) return error;
  int mount = new_filesystem(r, &(struct filesystem){"overlay", "overlay", TEXTS(options), TEXTS(lower)}, 0);
  return mount < 0 ? mount : keep_rootfs(r, mount, TEXT(path));
}

// ---- the rootfs as the root ----

int do_pivot_root(struct run *r, const struct step_pivot_root *s) {
  (void)s;
  leave_top();
  CLOSING int old = sys_open(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0);
  int error;
  if (old < 0) return failing(r, "open", old);
  if ((error = sys_fchdir(r->rootfs)) < 0) return failing(r, "fchdir", error);
  if ((error = (int)sys2(SYS_pivot_root, ".", ".")) < 0) return failing(r, "pivot_root", error);
  if ((error = sys_fchdir(old)) < 0) return failing(r, "fchdir", error);
  // It does not reach the host's mounts: SetPropagation has made slaves of all of these, or private ones.
  if ((error = (int)sys2(SYS_umount2, ".", MNT_DETACH)) < 0) return failing(r, "umount2", error);
  return (error = sys_chdir("/")) < 0 ? failing(r, "chdir", error) : 0;
}

// Cuts the next field off a line of mountinfo. The kernel writes spaces and the like as a backslash and three octal
// digits.
static char *next_field(char **line) {
  char *field = *line + strspn(*line, " "), *from = field, *to = field;
  for (; *from && *from != ' '; from++) {
    if (*from == '\\' && from[1] && from[2] && from[3]) {
      *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
      from += 3;
    } else {
      *to++ = *from;
    }
  }
  *line = *from ? from + 1 : from;
  *to = 0;
  return field;
}

static int unmount(const char *place) {
  return sys2(SYS_umount2, place, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

// Is it the line of a procfs or sysfs? `rest` is what comes after the mount's place.
static int is_kernel(const char *rest) {
  const char *fstype = strstr(rest, " - ");
  return fstype && (!strncmp(fstype + 3, "proc ", 5) || !strncmp(fstype + 3, "sysfs ", 6));
}

// 1: covered; 0: something else is over it already.
static int cover(const char *place) {
  CLOSING int fd = sys_open(AT_FDCWD, place, O_PATH, 0);
  if (fd < 0) return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
  if (view_of(fd) != WHOLE_VIEW) return 0;
  int error = (int)sys5(SYS_mount, "tmpfs", place, "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1");
  return error < 0 ? error : 1;
}

// One pass over all mounts that are seen from here: how many places it has cleared, or a negative errno.
static int clear_places(struct run *r, int mountinfo, struct buffer *lines, int covering) {
  int cleared = 0;
  sys3(SYS_lseek, mountinfo, 0, 0);
  for (;;) {
    long n = sys_read(mountinfo, lines->data + lines->used, lines->size - lines->used - 1);
    if (n <= 0) return n < 0 ? (int)n : cleared;
    lines->data[lines->used += (size_t)n] = 0;
    char *line = lines->data;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
      *end = 0;
      for (int skipped = 0; skipped < 4; skipped++)
        next_field(&line); // its id, its parent's, the device, what of it is mounted
      const char *place = next_field(&line);
      if (!strcmp(place, "/")) continue;
      int done = !covering ? unmount(place) : is_kernel(line) ? cover(place) : 0;
      if (done < 0) {
        format(&r->detail, "%s", place);
        return done;
      }
      cleared += done;
    }
    lines->used = strlen(line);
    memmove(lines->data, line, lines->used + 1);
  }
}

// A user namespace may mount a procfs or sysfs of its own where its mount namespace has a whole one, wherever that is:
// what was the host's must not stay beneath the container's root. In a user namespace the host's mounts are locked, and
// are covered.
static int clear_host(struct run *r) {
  size_t size = 1 << 16;
  struct buffer lines = {more_memory(size), size, 0, 0};
  CLOSING int mountinfo = sys_open(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY, 0);
  if (!lines.data) return failing(r, "mmap", -ENOMEM);
  if (mountinfo < 0) return failing(r, "open /proc/self/mountinfo", mountinfo);
  int cleared;
  while ((cleared = clear_places(r, mountinfo, &lines, 0)) > 0)
    ; // what was beneath another mount is seen by the next pass
  if (cleared == 0) cleared = clear_places(r, mountinfo, &lines, 1);
  return cleared < 0 ? failing(r, "hide the host's /proc and /sys", cleared) : 0;
}

int do_move_root(struct run *r, const struct step_move_root *s) {
  (void)s;
  leave_top();
  int error = sys_fchdir(r->rootfs);
  if (error < 0) return failing(r, "fchdir", error);
  // ELOOP: it is there already, because keep_rootfs could not go to its own path.
  if ((error = (int)sys5(SYS_mount, ".", "/", 0, MS_MOVE, 0)) < 0 && error != -ELOOP) return failing(r, "move", error);
  // Until chroot this process' paths are those of the old root, and lead to none of the container's mounts.
  if ((error = clear_host(r)) < 0) return error;
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
  int error = (int)sys2(SYS_setns, r->space, CLONE_NEWNS);
  sys_close(r->space);
  if (error < 0) return failing(r, "setns", error);
  if ((error = sys_fchdir(r->rootfs)) < 0) return failing(r, "fchdir", error);
  return (error = (int)sys1(SYS_chroot, ".")) < 0 ? failing(r, "chroot", error) : 0;
}
