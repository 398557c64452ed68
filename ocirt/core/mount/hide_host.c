#include "mount/hide_host.h"

#include <string.h>
#include <sys/mount.h>

#include "base/memory.h"
#include "mount/views.h"

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

static int unmount(const char *place) { return sys2(SYS_umount2, place, MNT_DETACH | UMOUNT_NOFOLLOW) == 0; }

// Is the line about a procfs or sysfs? `rest` is the line after the mount point.
static int is_view(const char *rest) {
  const char *fstype = strstr(rest, " - ");
  return fstype && (!strncmp(fstype + 3, "proc ", 5) || !strncmp(fstype + 3, "sysfs ", 6));
}

// Covers the view at `place`: 1, 0 if another mount covers it already, or a negative errno.
static int cover(const char *place) {
  CLOSING int fd = sys_open(AT_FDCWD, place, O_PATH, 0);
  if (fd < 0) return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
  if (view_of(fd) != WHOLE_VIEW) return 0;
  int error = (int)sys5(SYS_mount, "tmpfs", place, "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1");
  return error < 0 ? error : 1;
}

// Unmounts, or with `covering` covers, what init can see of the mounts: how many places, or a negative errno.
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
        next_field(&line); // id, parent, device, root
      const char *place = next_field(&line);
      if (!strcmp(place, "/")) continue;
      int done = !covering ? unmount(place) : is_view(line) ? cover(place) : 0;
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

int hide_host(struct run *r) {
  size_t size = 1 << 16;
  struct buffer lines = {arena_alloc(size), size, 0, 0};
  CLOSING int mountinfo = sys_open(AT_FDCWD, "/proc/self/mountinfo", O_RDONLY, 0);
  if (!lines.data) return failing(r, "mmap", -ENOMEM);
  if (mountinfo < 0) return failing(r, "open /proc/self/mountinfo", mountinfo);
  int cleared;
  // Each pass finds the mounts that the one before has uncovered.
  while ((cleared = clear_places(r, mountinfo, &lines, 0)) > 0)
    ;
  if (cleared == 0) cleared = clear_places(r, mountinfo, &lines, 1);
  return cleared < 0 ? failing(r, "hide the host's /proc and /sys", cleared) : 0;
}
