// Only for cgroup v2: controllers, which are enabled level by level. See the kernel's
// Documentation/admin-guide/cgroup-v2.rst.
#include "cgroup/cgroup2.h"

#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/wait.h"
#include "cgroup/hierarchy.h"

// Does `list` have the word `name` of `length` bytes?
static int has_word(const char *list, const char *name, size_t length) {
  for (const char *word = list; *(word += strspn(word, " \n")); word += strcspn(word, " \n"))
    if (strcspn(word, " \n") == length && !memcmp(word, name, length)) return 1;
  return 0;
}

// A failure to enable one only matters to a step that writes a file of that controller, and explain_missing() then
// finds the reason.
int enable_controllers(struct run *r, int cgroup) {
  CLOSING int dir = cgroup;
  char has[512], enabled[512], one[64];
  BUFFER(missing, 1024);
  if (dir < 0) return failing(r, "open", dir);
  if (read_file(dir, "cgroup.controllers", has, sizeof has) <= 0 ||
      read_file(dir, "cgroup.subtree_control", enabled, sizeof enabled) < 0)
    return 0;
  for (const char *word = has; *(word += strspn(word, " \n")); word += strcspn(word, " \n")) {
    size_t length = strcspn(word, " \n");
    if (has_word(enabled, word, length)) continue;
    put(&missing, " +");
    put_bytes(&missing, word, length);
  }
  int error = missing.used ? write_control(dir, "cgroup.subtree_control", missing.data + 1) : 0;
  // Retry each controller by itself, but not after these errors. EBUSY: the cgroup has processes, and a threaded
  // controller alone could be enabled, but would make the children invalid domains. EACCES and EROFS: the
  // runtime may not write the file at all. EPERM, which is retried, comes from cpuset until Linux 6.6, if a child has
  // another user's processes.
  if (!error || error == -EBUSY || error == -EOPNOTSUPP || error == -EACCES || error == -EROFS) return 0;
  for (const char *word = missing.data; *(word += strspn(word, " ")); word += strcspn(word, " ")) {
    struct buffer text = {one, sizeof one, 0, 0};
    put_bytes(&text, word, strcspn(word, " "));
    write_control(dir, "cgroup.subtree_control", one);
  }
  return 0;
}

char *path_in(int pid, const char *mark, char *text, size_t size) {
  BUFFER(file, 64);
  format(&file, "/proc/%d/cgroup", pid);
  if (read_file(AT_FDCWD, file.data, text, size) <= 0) return 0;
  for (char *rest = text, *line; (line = next_line(&rest));) {
    line += strcspn(line, ":");
    if (!strncmp(line, mark, strlen(mark))) return strchr(line, '/');
  }
  return 0;
}

int open_cgroup_of_init(struct run *r, const char *hierarchy) {
  char text[8192], *path;
  // Init may move to another cgroup before the runtime opens this one, and this one may be removed.
  for (int tries = 0, fd; tries < 16; tries++) {
    path = path_in(r->container->journal->pid, "::", text, sizeof text);
    if (!path || is_readable(r->container->pidfd)) return -ESRCH;
    if ((fd = open_cgroup(r, hierarchy, path, O_RDONLY)) != -ENOENT) return fd;
  }
  return -ENOENT;
}

static int lists(int dir, const char *file, const char *word, size_t length) {
  char text[512];
  return read_file(dir, file, text, sizeof text) > 0 && has_word(text, word, length);
}

// Explains why the controller is not enabled for the children of `dir`, the cgroup at `path`.
static void explain_disabled(struct run *r, int dir, const char *path) {
  char text[16];
  long error = sys4(SYS_faccessat2, dir, "cgroup.subtree_control", W_OK, AT_EACCESS);
  int has_processes = *path && read_file(dir, "cgroup.procs", text, sizeof text) > 0;
  if (!error && has_processes) error = -EBUSY;
  if (error) format(&r->detail, ": enable controllers in %s: %e", *path ? path : "/", (int)error);
  if (error == -EBUSY) put(&r->detail, " (it has processes itself)");
}

void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file) {
  size_t length = strcspn(file, ".");
  CLOSING int own = open_cgroup(r, hierarchy, path, O_PATH), top = open_cgroup(r, hierarchy, "", O_PATH);
  struct stat st;
  if (sys_stat(own, "cgroup.controllers", &st, 0) < 0) return;
  if (!file[length] || !strncmp(file, "cgroup.", 7) || lists(own, "cgroup.controllers", file, length)) {
    put(&r->detail, "this kernel has no such file");
    return;
  }
  put(&r->detail, "the controller ");
  put_bytes(&r->detail, file, length);
  int on_host = lists(top, "cgroup.controllers", file, length);
  put(&r->detail, on_host ? " is not enabled in this cgroup" : " is not there on this host");
  if (!on_host) return;
  BUFFER(above, PATH_SIZE);
  for (const char *name = path;; name += strcspn(name, "/")) {
    CLOSING int dir = open_cgroup(r, hierarchy, above.data, O_PATH);
    name += strspn(name, "/");
    if (!*name) return;
    if (!lists(dir, "cgroup.subtree_control", file, length)) return explain_disabled(r, dir, above.data);
    put(&above, "/");
    put_bytes(&above, name, strcspn(name, "/"));
  }
}

int do_enable_controllers(struct run *r, const struct step_enable_controllers *s) {
  BUFFER(above, PATH_SIZE);
  const char *name = TEXT(path);
  while (*(name += strspn(name, "/"))) {
    int error = enable_controllers(r, open_cgroup(r, TEXT(hierarchy), above.data, O_RDONLY));
    if (error) return error;
    put(&above, "/");
    put_bytes(&above, name, strcspn(name, "/"));
    name += strcspn(name, "/");
  }
  return 0;
}
