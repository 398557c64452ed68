// Steps on groups of resctrl, the file system for Intel RDT and its kin. As with cgroups, every effect is journalled.

#include <string.h>

#include "base/cgroupfs.h"
#include "base/files.h"
#include "executor/execute.h"

static int open_group(const char *root, const char *path) {
  CLOSING int top = sys_open(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0);
  return top < 0 ? top : sys_openat2(top, path, O_PATH | O_DIRECTORY, BENEATH);
}

// Adds the kernel's own words about the last command, unless they are "ok".
static int failing_here(struct run *r, const char *root, const char *call, int error) {
  char text[256];
  CLOSING int info = open_group(root, "info");
  long size = info < 0 ? info : read_file(info, "last_cmd_status", text, sizeof text);
  while (size > 0 && text[size - 1] == '\n')
    text[--size] = 0;
  if (size > 0 && strcmp(text, "ok")) put(&r->detail, text);
  return failing(r, call, error);
}

static int write_file(struct run *r, const char *root, const char *path, const char *file, const char *value) {
  CLOSING int dir = open_group(root, path);
  if (dir < 0) return failing(r, "open", dir);
  int error = write_control(dir, file, value);
  return error ? failing_here(r, root, "write", error) : 0;
}

int do_make_resctrl_group(struct run *r, const struct step_make_resctrl_group *s) {
  struct effect *effect = need_effect(r, effect_key(TEXT(root), TEXT(path)));
  if (!effect) return -E2BIG;
  CLOSING int fd = open_group(TEXT(root), TEXT(path));
  if (fd >= 0) {
    effect->state = EFFECT_USED;
    return 0;
  }
  if (fd != -ENOENT || !s->make) return failing(r, "open", fd);
  CLOSING int top = sys_open(AT_FDCWD, TEXT(root), O_PATH | O_DIRECTORY, 0);
  if (top < 0) return failing(r, "open", top);
  effect->state = EFFECT_INTENDED;
  int error = sys_mkdir(top, TEXT(path), 0755);
  effect->state = !error ? EFFECT_MINE : error == -EEXIST ? EFFECT_USED : EFFECT_UNDONE;
  return error && error != -EEXIST ? failing_here(r, TEXT(root), "mkdir", error) : 0;
}

int do_write_resctrl_schema(struct run *r, const struct step_write_resctrl_schema *s) {
  BUFFER(line, 4096);
  format(&line, "%s\n", TEXT(value));
  return line.full ? failing(r, "write", -E2BIG) : write_file(r, TEXT(root), TEXT(path), "schemata", line.data);
}

int do_join_resctrl_group(struct run *r, const struct step_join_resctrl_group *s) {
  BUFFER(pid, 24);
  put_number(&pid, r->container->journal->pid);
  return write_file(r, TEXT(root), TEXT(path), "tasks", pid.data);
}

int do_remove_resctrl_group(struct run *r, const struct step_remove_resctrl_group *s) {
  char tasks[16];
  struct effect *effect = effect_of(r->container->journal, effect_key(TEXT(root), TEXT(path)), 0);
  if (!effect || (effect->state != EFFECT_MINE && effect->state != EFFECT_INTENDED)) return 0;
  if (s->keep) {
    // A group that config.json names may be shared. Delete removes it only if a failed create has just made it.
    if (r->container->journal->phase != PHASE_CREATING) return 0;
    CLOSING int dir = open_group(TEXT(root), TEXT(path));
    long used = dir < 0 ? 0 : read_file(dir, "tasks", tasks, sizeof tasks);
    if (used > 0) return 0;
  }
  CLOSING int top = sys_open(AT_FDCWD, TEXT(root), O_PATH | O_DIRECTORY, 0);
  int error = top < 0 ? top : sys_unlink(top, TEXT(path), AT_REMOVEDIR);
  if (error && error != -ENOENT) return failing(r, "rmdir", error);
  effect->state = EFFECT_UNDONE;
  return 0;
}
