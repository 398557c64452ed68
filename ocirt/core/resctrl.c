// Steps on groups of resctrl, the file system for Intel RDT and its kin: as with cgroups, every effect in the journal.
#include "core.h"

#include <string.h>

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)

static int open_group(const char *root, const char *path, uint64_t flags) {
  int top = sys_open(AT_FDCWD, root, O_PATH | O_DIRECTORY, 0);
  if (top < 0) return top;
  int fd = sys_openat2(top, path, flags, 0, BENEATH);
  sys_close(top);
  return fd;
}

// The kernel's own words about the last command are in a file; "ok" is none.
static int failing_here(struct run *r, const char *root, const char *call, int error) {
  char text[256];
  int info = open_group(root, "info", O_PATH | O_DIRECTORY);
  long size = info < 0 ? info : read_file(info, "last_cmd_status", text, sizeof text);
  sys_close(info);
  while (size > 0 && text[size - 1] == '\n') text[--size] = 0;
  if (size > 0 && strcmp(text, "ok")) put(&r->detail, text);
  return failing(r, call, error);
}

static int write_file(struct run *r, const char *root, const char *path, const char *file, const char *value) {
  int dir = open_group(root, path, O_PATH | O_DIRECTORY);
  if (dir < 0) return failing(r, "open", dir);
  int fd = sys_openat2(dir, file, O_WRONLY, 0, BENEATH);
  sys_close(dir);
  if (fd < 0) return failing(r, "open", fd);
  long n = sys_write(fd, value, strlen(value));
  sys_close(fd);
  return n < 0 ? failing_here(r, root, "write", (int)n) : 0;
}

int do_make_resctrl_group(struct run *r, const struct step_make_resctrl_group *s) {
  struct effect *effect = effect_of(r->container->journal, effect_key(TEXT(root), TEXT(path)), 1);
  if (!effect) return failing(r, "journal", -E2BIG);
  int fd = open_group(TEXT(root), TEXT(path), O_PATH | O_DIRECTORY);
  if (fd >= 0) { sys_close(fd); effect->state = EFFECT_USED; return 0; }
  if (fd != -ENOENT || !s->make) return failing(r, "open", fd);
  int top = sys_open(AT_FDCWD, TEXT(root), O_PATH | O_DIRECTORY, 0);
  if (top < 0) return failing(r, "open", top);
  effect->state = EFFECT_INTENDED;
  int error = sys_mkdir(top, TEXT(path), 0755);
  sys_close(top);
  effect->state = !error ? EFFECT_MINE : error == -EEXIST ? EFFECT_USED : EFFECT_UNDONE;
  return error && error != -EEXIST ? failing_here(r, TEXT(root), "mkdir", error) : 0;
}

// One number of a schema: masks are hexadecimal, percentages decimal, but equal are only equal digits.
static const char *digits(const char *at, uint64_t *number) {
  for (*number = 0; *at; at++) {
    char c = *at >= 'A' && *at <= 'F' ? (char)(*at + 32) : *at;
    if (c >= '0' && c <= '9') *number = *number << 4 | (uint64_t)(c - '0');
    else if (c >= 'a' && c <= 'f') *number = *number << 4 | (uint64_t)(c - 'a' + 10);
    else break;
  }
  return at;
}

// Does the line of the resource (L3:0=ff;1=f) give what `wanted` gives, for each domain that this names?
static int agrees(const char *line, const char *wanted) {
  for (const char *at = wanted; ; at++) {
    uint64_t domain, value, other, found;
    at = digits(at, &domain);
    if (*at != '=') return 0;
    at = digits(at + 1, &value);
    int same = 0;
    for (const char *look = line; ; look++) {
      look = digits(look + strspn(look, " "), &other);
      if (*look != '=') return 0;
      look = digits(look + 1, &found);
      if (other == domain) { same = found == value; break; }
      if (*look != ';') break;
    }
    if (!same) return 0;
    if (*at != ';' || !at[1]) return 1;
  }
}

static int is_set_already(const char *schemata, const char *wanted) {
  size_t name = strcspn(wanted, ":");
  if (!wanted[name]) return 0;
  for (const char *line = schemata; *line; line += strcspn(line, "\n"), line += *line == '\n') {
    line += strspn(line, " ");
    if (!strncmp(line, wanted, name + 1)) return agrees(line + name + 1, wanted + name + 1);
  }
  return 0;
}

int do_write_resctrl_schema(struct run *r, const struct step_write_resctrl_schema *s) {
  char schemata[8192];
  struct effect *effect = effect_of(r->container->journal, effect_key(TEXT(root), TEXT(path)), 0);
  if (s->compare && effect && effect->state == EFFECT_USED) {
    int dir = open_group(TEXT(root), TEXT(path), O_PATH | O_DIRECTORY);
    long size = dir < 0 ? dir : read_file(dir, "schemata", schemata, sizeof schemata);
    sys_close(dir);
    if (size < 0) return failing(r, "read", (int)size);
    if (!is_set_already(schemata, TEXT(value))) {
      put(&r->detail, "the group is there already, with another schema");
      return failing(r, "check", -EEXIST);
    }
  }
  BUFFER(line, 4096);
  put(&line, TEXT(value)); put(&line, "\n");
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
    // Who names a group shares it: it goes only if it has just been made, for a container that has not come to be.
    if (r->container->journal->phase != PHASE_CREATING) return 0;
    int dir = open_group(TEXT(root), TEXT(path), O_PATH | O_DIRECTORY);
    long used = dir < 0 ? 0 : read_file(dir, "tasks", tasks, sizeof tasks);
    sys_close(dir);
    if (used > 0) return 0;
  }
  int top = sys_open(AT_FDCWD, TEXT(root), O_PATH | O_DIRECTORY, 0);
  int error = top < 0 ? top : sys_unlink(top, TEXT(path), AT_REMOVEDIR);
  sys_close(top);
  if (error && error != -ENOENT) return failing(r, "rmdir", error);
  effect->state = EFFECT_UNDONE;
  return 0;
}
