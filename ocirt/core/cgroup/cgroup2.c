// Steps on cgroup v2 alone: controllers, domains, delegation. The kernel's Documentation/admin-guide/cgroup-v2.rst.
#include "cgroup/cgroup2.h"

#include <poll.h>
#include <string.h>

#include "base/cgroupfs.h"
#include "base/files.h"
#include "base/wait.h"
#include "cgroup/hierarchy.h"

// Is the word `name` of `length` bytes in `list`?
static int has_word(const char *list, const char *name, size_t length) {
  for (const char *word = list; *(word += strspn(word, " \n")); word += strcspn(word, " \n"))
    if (strcspn(word, " \n") == length && !memcmp(word, name, length)) return 1;
  return 0;
}

static void refuse(struct run *r, const char *path, int error) {
  struct buffer at = {r->refused_at, sizeof r->refused_at, 0, 0};
  r->refused = error;
  put(&at, *path ? path : "/");
}

// Enables for the children of `dir` the controllers that it has. One that cannot be is missed by nobody but the step
// that writes a file of it, which then says why.
void enable_controllers(struct run *r, int dir, const char *path) {
  char has[512], enabled[512], one[64];
  BUFFER(missing, 1024);
  if (read_file(dir, "cgroup.controllers", has, sizeof has) <= 0 ||
      read_file(dir, "cgroup.subtree_control", enabled, sizeof enabled) < 0)
    return;
  for (const char *word = has; *(word += strspn(word, " \n")); word += strcspn(word, " \n")) {
    size_t length = strcspn(word, " \n");
    if (has_word(enabled, word, length)) continue;
    put(&missing, " +");
    put_bytes(&missing, word, length);
  }
  if (!missing.used) return;
  int error = write_control(dir, "cgroup.subtree_control", missing.data + 1);
  if (!error) return;
  refuse(r, path, error);
  // EBUSY: it has processes. Then no controller is enabled by itself: those that know threads would be, at the price
  // of making the children invalid domains. What may not be written at all is not tried again either. EPERM is
  // cpuset's, for processes of others in a child, until Linux 6.6.
  if (error == -EBUSY || error == -EOPNOTSUPP || error == -EACCES || error == -EROFS) return;
  for (const char *word = missing.data; *(word += strspn(word, " ")); word += strcspn(word, " ")) {
    struct buffer text = {one, sizeof one, 0, 0};
    put_bytes(&text, word, strcspn(word, " "));
    if ((error = write_control(dir, "cgroup.subtree_control", one))) refuse(r, path, error);
  }
}

// The path in the line of /proc/PID/cgroup that has `mark` after its number, or null.
static char *path_in(int pid, const char *mark, char *text, size_t size) {
  BUFFER(file, 64);
  put(&file, "/proc/");
  put_number(&file, pid);
  put(&file, "/cgroup");
  if (read_file(AT_FDCWD, file.data, text, size) <= 0) return 0;
  for (char *line = text, *end; *line; line = end + 1) {
    if (!*(end = line + strcspn(line, "\n"))) break;
    *end = 0;
    line += strcspn(line, ":");
    if (!strncmp(line, mark, strlen(mark))) return strchr(line, '/');
  }
  return 0;
}

char *unified_path(int pid, char *text, size_t size) {
  return path_in(pid, "::", text, size);
}

char *systemd_path(int pid, char *text, size_t size) {
  char *path = path_in(pid, ":name=systemd:", text, size);
  return path ? path : unified_path(pid, text, size);
}

int open_cgroup_of_init(struct run *r, const char *hierarchy) {
  char text[8192], *path;
  // It may move on and its cgroup be removed in between.
  for (int tries = 0, fd; tries < 16; tries++) {
    path = unified_path(r->container->journal->pid, text, sizeof text);
    if (!path || sys_poll(r->container->pidfd, POLLIN, 0) == 1) return -ESRCH;
    if ((fd = open_cgroup(hierarchy, path, O_RDONLY | O_DIRECTORY)) != -ENOENT) return fd;
  }
  return -ENOENT;
}

const char *unfit(int dir, int present) {
  char text[256];
  if (read_file(dir, "cgroup.type", text, sizeof text) > 0 && strcmp(text, "domain\n"))
    return strncmp(text, "domain invalid", 14) ? "it is part of a threaded cgroup" : "a cgroup above it is threaded";
  int known = read_file(dir, "cgroup.events", text, sizeof text) > 0;
  if (!present) return known && strstr(text, "frozen 1") ? "a cgroup above it is frozen" : 0;
  if (known && strstr(text, "populated 1")) return "it has processes in it already";
  if (read_file(dir, "cgroup.freeze", text, sizeof text) > 0 && *text == '1') return "it is frozen";
  if (read_file(dir, "cgroup.subtree_control", text, sizeof text) > 1)
    return "it has controllers enabled for its children, and so takes no process";
  return 0;
}

// For the error of a step whose file is not there. Says nothing on cgroup v1.
void explain_missing(struct run *r, const char *hierarchy, const char *path, const char *file) {
  char has[512], all[512];
  size_t length = strcspn(file, ".");
  int dir = open_cgroup(hierarchy, path, O_PATH);
  long size = dir < 0 ? dir : read_file(dir, "cgroup.controllers", has, sizeof has);
  sys_close(dir);
  if (size < 0) return;
  if (!file[length] || has_word(has, file, length) || !strncmp(file, "cgroup.", 7)) {
    put(&r->detail, "this kernel has no such file");
    return;
  }
  int top = sys_open(AT_FDCWD, hierarchy, O_PATH | O_DIRECTORY, 0), known = 0;
  if (top >= 0 && read_file(top, "cgroup.controllers", all, sizeof all) > 0) known = has_word(all, file, length);
  sys_close(top);
  put(&r->detail, "the controller ");
  put_bytes(&r->detail, file, length);
  put(&r->detail, known ? " is not enabled in this cgroup" : " is not there on this host");
  if (!known || !r->refused) return;
  put(&r->detail, ": enable controllers in ");
  put(&r->detail, r->refused_at);
  put(&r->detail, ": ");
  put_error(&r->detail, r->refused);
  if (r->refused == -EBUSY) put(&r->detail, " (it has processes itself)");
}

int do_enable_controllers(struct run *r, const struct step_enable_controllers *s) {
  BUFFER(above, 4096);
  const char *path = TEXT(path), *name = path + strspn(path, "/");
  for (; *name; name += strspn(name, "/")) {
    int dir = open_cgroup(TEXT(hierarchy), above.used ? above.data : "/", O_RDONLY);
    if (dir < 0) return failing(r, "open", dir);
    enable_controllers(r, dir, above.data);
    sys_close(dir);
    size_t length = strcspn(name, "/");
    put(&above, "/");
    put_bytes(&above, name, length);
    name += length;
  }
  return 0;
}

// ---- limits ----

// Writes `text` into `file` of the cgroup: 0, or a negative errno of which all has been said but for an `optional`
// file's -ENOENT.
static int write_limit(struct run *r, uint64_t hierarchy, const char *path, const char *file, const char *text,
    int64_t tolerate, int optional) {
  int there = is_there(r, hierarchy, tolerate);
  if (there <= 0) return there;
  CLOSING int dir = open_cgroup(text_of(r->program, hierarchy), path, O_PATH);
  CLOSING int fd = dir < 0 ? dir : sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
  if (fd == -ENOENT && optional) return fd;
  if (fd == -ENOENT) explain_missing(r, text_of(r->program, hierarchy), path, file);
  if (fd < 0) return tolerated(r, hierarchy, tolerate, "open", fd);
  long n = sys_write(fd, text, strlen(text));
  return n < 0 ? failing(r, "write", (int)n) : 0;
}

int do_write_either_cgroup(struct run *r, const struct step_write_either_cgroup *s) {
  int error = write_limit(r, s->hierarchy, TEXT(path), TEXT(file), TEXT(value), NUMBER(tolerate), 1);
  if (error != -ENOENT || !*TEXT(other_file)) return error == -ENOENT ? 0 : error;
  return write_limit(r, s->hierarchy, TEXT(path), TEXT(other_file), TEXT(other_value), NUMBER(tolerate), 0);
}

int do_write_cgroup_difference(struct run *r, const struct step_write_cgroup_difference *s) {
  int64_t difference;
  if (__builtin_sub_overflow(NUMBER(value), NUMBER(less), &difference) || difference < 0) {
    put(&r->detail, "memory and swap together cannot be less than memory alone");
    return failing(r, "check", -EINVAL);
  }
  BUFFER(text, 32);
  put_number(&text, difference);
  int error = write_limit(r, s->hierarchy, TEXT(path), TEXT(file), text.data, NUMBER(tolerate), difference == 0);
  return error == -ENOENT && difference == 0 ? 0 : error;
}

int do_check_memory_usage(struct run *r, const struct step_check_memory_usage *s) {
  char text[32];
  int64_t used;
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_PATH);
  if (dir < 0) return 0;
  long size = read_file(dir, "memory.current", text, sizeof text);
  sys_close(dir);
  if (size <= 0) return 0;
  text[strcspn(text, "\n")] = 0;
  if (parse_number(text, &used)) return 0;
  if ((NUMBER(limit) <= 0 || used < NUMBER(limit)) && (NUMBER(swap) <= 0 || used < NUMBER(swap))) return 0;
  put(&r->detail, text);
  put(&r->detail, " bytes are in use");
  return failing(r, "check", -EBUSY);
}

// ---- delegation ----

int do_delegate_cgroup(struct run *r, const struct step_delegate_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(tolerate));
  if (there <= 0) return there;
  char files[1024];
  // Kernels before 4.15 do not list them.
  if (read_file(AT_FDCWD, "/sys/kernel/cgroup/delegate", files, sizeof files) <= 0)
    strcpy(files, "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
  int dir = open_cgroup(TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir < 0) return failing(r, "open", dir);
  int error = (int)sys5(SYS_fchownat, dir, "", s->uid, -1, AT_EMPTY_PATH);
  for (char *file = files; !error && *file;) {
    size_t length = strcspn(file, "\n");
    int more = file[length] != 0;
    file[length] = 0;
    error = (int)sys5(SYS_fchownat, dir, file, s->uid, -1, AT_SYMLINK_NOFOLLOW);
    if (error == -ENOENT) error = 0; // of a controller that is not enabled here
    file += length + more;
  }
  sys_close(dir);
  return error ? tolerated(r, s->hierarchy, NUMBER(tolerate), "fchownat", error) : 0;
}
