#include "launch/cache_directory.h"

#include <string.h>
#include <sys/sysmacros.h>
#include <linux/magic.h>

#include "base/files.h"
#include "steps.h"

// Is the file system local: in memory, on a block device, or with block devices beneath an anonymous number? A server
// (NFS, FUSE, 9p) could change an entry after the runtime has compared it.
static int is_local(struct cache_directory *d, const struct stat *st, long type) {
  static const struct {
    long type;
    int in_memory;
  } without_device[] = {FILE_SYSTEMS_WITHOUT_DEVICE};
  for (unsigned i = 0; i < COUNT(without_device); i++) {
    if (type != without_device[i].type) continue;
    d->in_memory = without_device[i].in_memory;
    return 1;
  }
  return major(st->st_dev) && type != FUSE_SUPER_MAGIC;
}

static int make_directory(char *path, int parent_mode) {
  int error = sys_mkdir(AT_FDCWD, path, 0700);
  if (error != -ENOENT) return error;
  char *end = strrchr(path, '/');
  *end = 0;
  error = sys_mkdir(AT_FDCWD, path, parent_mode);
  *end = '/';
  return error < 0 && error != -EEXIST ? error : sys_mkdir(AT_FDCWD, path, 0700);
}

// Opens the directory at d->path, and makes it if it is missing. Refuses one that is not local or not the caller's
// alone.
static int open_directory(struct cache_directory *d, int parent_mode) {
  const char *path = d->path->data;
  struct stat st;
  CLOSING int fd = sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (fd == -ENOENT) {
    int error = make_directory(d->path->data, parent_mode);
    fd = error < 0 && error != -EEXIST ? error : sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  }
  long error = fd < 0 ? fd : sys_fstat(fd, &st), type = error ? error : filesystem_of(fd);
  if (d->reason.used) put(&d->reason, "; ");
  if (type < 0)
    format(&d->reason, "%s: %e", path, (int)type);
  else if (st.st_uid != sys0(SYS_geteuid) || st.st_mode & 077)
    format(&d->reason, "%s is not the caller's alone (mode 0700)", path);
  else if (!is_local(d, &st, type))
    format(&d->reason, "%s is not on a local file system", path);
  else
    return d->fd = release(&fd);
  return -1;
}

static const struct {
  const char *variable, *folder;
} places[] = {CACHE_PLACES};

static int search_directory(const struct request *q, struct cache_directory *d) {
  for (unsigned i = 0; i < COUNT(places); i++) {
    int of_root = !*places[i].variable;
    const char *base = of_root ? "" : environment_variable(q, places[i].variable);
    if (of_root ? sys0(SYS_geteuid) != 0 : !base || *base != '/') continue;
    d->path->used = d->path->full = 0;
    format(d->path, "%s%s", base, places[i].folder);
    if (!d->path->full && open_directory(d, of_root ? 0755 : 0700) >= 0) return d->fd;
  }
  if (!d->reason.used) put(&d->reason, "XDG_RUNTIME_DIR, XDG_CACHE_HOME and HOME name no directory");
  return -1;
}

int find_cache_directory(const struct request *q, struct cache_directory *d) {
  const char *chosen = environment_variable(q, "OCIRT_CACHE");
  if (q->flags[FLAG_NO_CACHE])
    put(&d->reason, "--no-cache is given");
  else if (chosen && !strcmp(chosen, "off"))
    put(&d->reason, "OCIRT_CACHE is off");
  else if (chosen && *chosen == '/') {
    put(d->path, chosen);
    return open_directory(d, 0755);
  }
#ifdef OCIRT_TREE
  // The Python code of a tree may have changed since the build id was computed, so its build caches only on request.
  else if (!chosen)
    put(&d->reason, "a tree's build keeps programs only where OCIRT_CACHE names a directory");
#endif
  else
    return search_directory(q, d);
  return -1;
}
