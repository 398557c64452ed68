#include "cgroup/remove.h"

#include <dirent.h>
#include <string.h>

#include "base/files.h"
#include "base/wait.h"
#include "cgroup/hierarchy.h"
#include "cgroup/kill.h"

// After the last process of a cgroup has ended, rmdir may give EBUSY for a while, and the kernel does not report when
// that is over.
static int remove_directory(int parent, const char *name) {
  long pause = 100;
  int error = sys_unlink(parent, name, AT_REMOVEDIR);
  for (int tries = 0; error == -EBUSY && tries < 1000; tries++) {
    pause_for(pause);
    if (pause < 10000) pause *= 2;
    error = sys_unlink(parent, name, AT_REMOVEDIR);
  }
  return error == -ENOENT ? 0 : error;
}

// A search for a child cgroup to remove.
struct search {
  struct walk walk;
  char name[NAME_SIZE];
};

static int find_child(int parent, const char *name, unsigned char type, void *data) {
  struct search *search = data;
  if (type != DT_DIR || strlen(name) >= NAME_SIZE) return 0;
  if (search->walk.others && !search->walk.depth && child_effect(&search->walk, name, 0)) return 0;
  strcpy(search->name, name);
  return 1;
}

// Descends from the cgroup *at to the child that the search has found. If that has no children, kills its processes and
// removes it.
static int enter_or_remove(struct search *here, int *at) {
  struct search below = {0};
  struct walk child_walk = here->walk;
  CLOSING int child = sys_openat2(*at, here->name, O_RDONLY | O_DIRECTORY, BENEATH);
  if (child == -ENOENT) return 0;
  if (child < 0 || list_directory(child, find_child, &below) == 1) {
    sys_close(*at);
    *at = release(&child);
    here->walk.depth++;
    return 0;
  }
  child_walk.others = child_walk.depth = 0;
  int error = end_processes(&child_walk, child);
  return error ? error : remove_directory(*at, here->name);
}

// Removes the cgroups below `dir`. A container can nest cgroups too deep for recursion, so this descends one directory
// at a time and returns by `..`, because nobody can move a directory of a cgroup file system.
static int remove_below(const struct walk *cgroup, int dir) {
  struct search here = {.walk = *cgroup};
  CLOSING int at = sys_openat2(dir, ".", O_RDONLY | O_DIRECTORY, BENEATH);
  while (at >= 0) {
    int found = list_directory(at, find_child, &here);
    if (found < 0 || (!found && !here.walk.depth)) return found;
    if (found) {
      int error = enter_or_remove(&here, &at);
      if (error) return error;
      continue;
    }
    int above = sys_open(at, "..", O_RDONLY | O_DIRECTORY, 0);
    here.walk.depth--;
    sys_close(at);
    at = above;
  }
  return at;
}

// Removes the cgroup at `path`, which includes the hierarchy. If `once`, it does not wait for what is still in use.
static int remove_at(struct run *r, const char *path, int once) {
  int dir = beneath_cgroupfs(&r->cgroupfs, &path);
  return once ? sys_unlink(dir, path, AT_REMOVEDIR) : remove_directory(dir, path);
}

int remove_left(struct run *r, const char *hierarchy, const char *path, int dir) {
  BUFFER(full, PATH_SIZE);
  struct stat ours, present;
  int error = put_cgroup(&full, hierarchy, path, "");
  if (error || sys_fstat(dir, &ours) || sys_stat(AT_FDCWD, full.data, &present, AT_SYMLINK_NOFOLLOW) ||
      ours.st_ino != present.st_ino || is_populated(dir))
    return error;
  struct walk cgroup = walk_of(r, hierarchy, path);
  error = remove_below(&cgroup, dir);
  return error ? error : remove_at(r, full.data, 0);
}

// Removes the parents that ocirt made for this container or another one, up to the first that is in use, and shortens
// `path` on the way. It trusts the journal besides the mark, because a killed create may not have marked a parent.
// `own` is the effect of the container's own cgroup.
static void remove_parents(struct run *r, const char *hierarchy, char *path, struct effect *own) {
  char *below = path + strlen(hierarchy);
  uint32_t from = own && own->state != EFFECT_USED ? own->number : 0, level = 0;
  int stays = 0;
  for (const char *at = below; *at; at++)
    level += *at == '/';
  for (char *slash; (slash = strrchr(below, '/')) && slash != below;) {
    *slash = 0;
    level--;
    // Older builds have an effect for each level.
    struct effect *effect = effect_of(r->container->journal, effect_key(hierarchy, below), 0);
    int mine =
        (from && level >= from) || (effect && (effect->state == EFFECT_MINE || effect->state == EFFECT_INTENDED));
    if (!stays && (mine || is_marked(path))) {
      int error = remove_at(r, path, 1);
      if (error == 0 && effect) effect->state = EFFECT_UNDONE;
      if (!error || error == -ENOENT) continue;
    }
    stays = 1;
    if (mine) mark_as_made(path);
  }
  if (from) own->number = 0;
}

// Kills the processes in the cgroup and removes the cgroups below it, and also the cgroup itself unless `keep`.
static int remove_in_use(struct run *r, const struct step_remove_cgroup *s, const char *full, int keep) {
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir < 0) return dir;
  struct walk cgroup = walk_of(r, TEXT(hierarchy), TEXT(path));
  int error = end_processes(&cgroup, dir);
  if (!error) error = remove_below(&cgroup, dir);
  return error || keep ? error : remove_at(r, full, 0);
}

int do_remove_cgroup(struct run *r, const struct step_remove_cgroup *s) {
  BUFFER(path, PATH_SIZE);
  int error = put_cgroup(&path, TEXT(hierarchy), TEXT(path), "");
  if (error) return 0; // the path is impossible, so no cgroup was made
  struct effect *effect = effect_of(r->container->journal, cgroup_key(TEXT(hierarchy), TEXT(path)), 0);
  if (effect && effect->state && effect->state != EFFECT_UNDONE) {
    int keep = effect->state == EFFECT_USED;
    // Try rmdir first: usually the cgroup is empty.
    error = keep ? -EBUSY : remove_at(r, path.data, 1);
    if (error && error != -ENOENT) error = remove_in_use(r, s, path.data, keep);
    // ENOENT: systemd removes the cgroup of a scope as soon as its last process has ended.
    if (error && error != -ENOENT) return r->call ? error : failing(r, "rmdir", error);
    effect->state = EFFECT_UNDONE;
  }
  remove_parents(r, TEXT(hierarchy), path.data, effect);
  return 0;
}
