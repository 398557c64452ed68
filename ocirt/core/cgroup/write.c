// Steps on the files of a cgroup: limits, tasks, the owner.

#include <string.h>

#include "base/files.h"
#include "cgroup/cgroup2.h"
#include "cgroup/hierarchy.h"

// Writes line by line, as io.max and devices.allow require. Leaves `line` at the one that the kernel refused.
static int write_lines(int fd, const char **line) {
  do {
    size_t length = strcspn(*line, "\n");
    long n = sys_write(fd, *line, length);
    if (n < 0) return (int)n;
    *line += length + ((*line)[length] == '\n');
  } while (**line);
  return 0;
}

// A value to write. An error quotes the file `usage`, if it is not "".
struct limit {
  uint64_t hierarchy;
  const char *path, *file, *value, *usage;
  int64_t skip_unwritable;
  int optional;
};

static void explain_refusal(struct run *r, const struct limit *l, const char *line, int error) {
  char usage[64];
  long size = *l->usage ? read_cgroup(text_of(r->program, l->hierarchy), l->path, l->usage, usage, sizeof usage) : 0;
  if (size > 0) {
    int above = !strncmp(l->usage, "../", 3);
    format(&r->detail, above ? "in the cgroup above %s is " : "%s is ", l->usage + (above ? 3 : 0));
    put_bytes(&r->detail, usage, (size_t)size - (usage[size - 1] == '\n'));
  } else if (error == -EINVAL && !strncmp(l->file, "devices.", 8) && *l->value == 'a')
    put(&r->detail, "a cgroup with child cgroups takes no such rule: use one of the container's own");
  else if (strchr(l->value, '\n'))
    put_bytes(&r->detail, line, strcspn(line, "\n"));
}

// 0, or a negative errno. For a missing file that is `optional`, -ENOENT without a failure.
static int write_limit(struct run *r, const struct limit *l) {
  int there = is_there(r, l->hierarchy, l->skip_unwritable);
  if (there <= 0) return there;
  const char *hierarchy = text_of(r->program, l->hierarchy), *line = l->value;
  CLOSING int fd = open_file(r, hierarchy, l->path, l->file, O_WRONLY);
  if (fd == -ENOENT && l->optional) return fd;
  if (fd == -ENOENT) explain_missing(r, hierarchy, l->path, l->file);
  if (fd < 0) return skip_or_fail(r, l->hierarchy, l->skip_unwritable, "open", fd);
  int error = write_lines(fd, &line);
  if (!error) return 0;
  explain_refusal(r, l, line, error);
  return failing(r, "write", error);
}

int do_write_cgroup(struct run *r, const struct step_write_cgroup *s) {
  return write_limit(
      r, &(struct limit){s->hierarchy, TEXT(path), TEXT(file), TEXT(value), TEXT(usage), NUMBER(skip_unwritable), 0});
}

int do_write_either_cgroup(struct run *r, const struct step_write_either_cgroup *s) {
  struct limit limit = {s->hierarchy, TEXT(path), TEXT(file), TEXT(value), "", NUMBER(skip_unwritable), 1};
  int error = write_limit(r, &limit);
  if (error != -ENOENT) return error;
  if (!*TEXT(other_file)) return 0;
  limit.file = TEXT(other_file);
  limit.value = TEXT(other_value);
  limit.optional = 0;
  return write_limit(r, &limit);
}

int do_write_cgroup_difference(struct run *r, const struct step_write_cgroup_difference *s) {
  int64_t difference;
  if (__builtin_sub_overflow(NUMBER(value), NUMBER(less), &difference) || difference < 0)
    return failing_because(r, "check", -EINVAL, "memory and swap together cannot be less than memory alone");
  BUFFER(text, 32);
  put_number(&text, difference);
  struct limit limit = {s->hierarchy, TEXT(path), TEXT(file), text.data, "", NUMBER(skip_unwritable), difference == 0};
  int error = write_limit(r, &limit);
  return limit.optional && error == -ENOENT ? 0 : error;
}

int do_check_memory_usage(struct run *r, const struct step_check_memory_usage *s) {
  int64_t used = number_in_cgroup(TEXT(hierarchy), TEXT(path), "memory.current", "");
  if ((NUMBER(limit) <= 0 || used < NUMBER(limit)) && (NUMBER(swap) <= 0 || used < NUMBER(swap))) return 0;
  format(&r->detail, "%l bytes are in use", used);
  return failing(r, "check", -EBUSY);
}

int do_open_cgroup(struct run *r, const struct step_open_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(skip_unwritable));
  if (there <= 0) return there;
  int fd = open_file(r, TEXT(hierarchy), TEXT(path), TEXT(file), *TEXT(file) ? O_WRONLY : O_RDONLY | O_DIRECTORY);
  if (fd == -ENOENT && s->optional) return 0;
  if (fd < 0) return skip_or_fail(r, s->hierarchy, NUMBER(skip_unwritable), "open", fd);
  r->fds[s->fd] = fd;
  return 0;
}

// A single-threaded process that writes 0 to `tasks` moves itself without waiting for a grace period.
int do_join_cgroup(struct run *r, const struct step_join_cgroup *s) {
  CLOSING int fd = release(&r->fds[s->fd]);
  return fd < 0 ? 0 : called(r, "write", sys_write(fd, "0", 1));
}

int do_delegate_cgroup(struct run *r, const struct step_delegate_cgroup *s) {
  int there = is_there(r, s->hierarchy, NUMBER(skip_unwritable));
  if (there <= 0) return there;
  char files[1024];
  // Without a sysfs at /sys nothing lists them.
  if (read_file(AT_FDCWD, "/sys/kernel/cgroup/delegate", files, sizeof files) <= 0)
    strcpy(files, "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n");
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir < 0) return failing(r, "open", dir);
  int error = (int)sys5(SYS_fchownat, dir, "", s->uid, -1, AT_EMPTY_PATH);
  for (char *rest = files, *file; !error && (file = next_line(&rest));) {
    error = (int)sys5(SYS_fchownat, dir, file, s->uid, -1, AT_SYMLINK_NOFOLLOW);
    if (error == -ENOENT) error = 0; // its controller is not enabled here
  }
  return error ? skip_or_fail(r, s->hierarchy, NUMBER(skip_unwritable), "fchownat", error) : 0;
}
