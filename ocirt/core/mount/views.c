// Views of the kernel in the container (procfs and sysfs): which are mounted where, and what is found beneath them.
#include "mount/views.h"

#include <string.h>
#include <linux/magic.h>

#include "base/files.h"
#include "base/memory.h"
#include "mount/target.h"

#define FIRST_FD 3 // after the standard streams
#define ROOT_INODE 1 // of a procfs or sysfs

struct view {
  struct view *next;
  int mount;
  enum view_kind kind;
  char place[];
};

// The end of `path` beneath the clean path `place`: empty, or with a slash at its beginning. Null: `path` is not there.
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
  return sys_fstat(fd, &st) == 0 && st.st_ino == ROOT_INODE ? WHOLE_VIEW : PART_OF_VIEW;
}

// A new mount at `place` hides the views at and beneath it.
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

// Keeps a descriptor of the view, from which its paths are resolved from now on.
static int pin(struct run *r, const char *place, int mount, enum view_kind kind) {
  struct view *view = arena_alloc(sizeof *view + strlen(place) + 1);
  if (!view) return -ENOMEM;
  if ((view->mount = sys_fcntl(mount, F_DUPFD_CLOEXEC, FIRST_FD)) < 0) return view->mount;
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
  int root = sys_fcntl(mount, F_DUPFD_CLOEXEC, FIRST_FD);
  if (root < 0) return root;
  sys_close(r->rootfs);
  r->rootfs = root;
  return 0;
}

// Later views cover earlier ones and stand before them in the list, so the first one that contains the path counts.
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
    int fd = resolve_or_make_plain(r->rootfs, path);
    if (fd == -ELOOP) format(&r->detail, "a link is on the way there");
    return fd;
  }
  return way == WAY_NOFOLLOW ? resolve_or_make_last(r, path, kind) : resolve_target(r, path, kind);
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
  if (error < 0 || st.st_ino == ROOT_INODE) return error < 0 ? error : release(&place);
  format(&r->detail, "inside of a procfs a mount may cover only files like cpuinfo, meminfo, stat and uptime");
  return -EPERM;
}
