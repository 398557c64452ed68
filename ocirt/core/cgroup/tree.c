#include "cgroup/tree.h"

#include <dirent.h>
#include <string.h>

#include "base/files.h"
#include "cgroup/hierarchy.h"

struct walk walk_of(struct run *r, const char *hierarchy, const char *path) {
  struct effect *effect = effect_of(r->container->journal, cgroup_key(hierarchy, path), 0);
  int others = effect && effect->state == EFFECT_USED ? (int)effect->number : 0;
  return (struct walk){.r = r, .hierarchy = hierarchy, .path = path, .others = others};
}

struct effect *child_effect(const struct walk *w, const char *name, int make) {
  BUFFER(path, PATH_SIZE + NAME_SIZE);
  put_cgroup(&path, "", w->path, name);
  return effect_of(w->r->container->journal, effect_key(w->hierarchy, path.data), make);
}

static int walk_child(int parent, const char *name, unsigned char type, void *data) {
  struct walk *w = data;
  if (type != DT_DIR || (w->others && w->depth == 1 && child_effect(w, name, 0))) return 0;
  if (w->depth > DEPTH) {
    w->too_deep = 1;
    return 0;
  }
  CLOSING int dir = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, BENEATH);
  return dir < 0 ? dir == -ENOENT ? 0 : dir : walk(w, dir);
}

int walk(struct walk *w, int dir) {
  int found = w->each(w, dir);
  if (found) return found;
  w->depth++;
  found = list_directory(dir, walk_child, w);
  w->depth--;
  return found == -ENOENT ? 0 : found; // another process has removed it meanwhile
}

static int has_process(struct walk *w, int dir) {
  char text[32];
  return read_file(dir, "cgroup.procs", text, sizeof text) > 0;
}

int is_populated(int dir) {
  char events[256];
  if (read_file(dir, "cgroup.events", events, sizeof events) > 0) return strstr(events, "populated 1") != 0;
  struct walk w = {.each = has_process};
  return walk(&w, dir) != 0;
}

// ---- cgroups that existed before ----

static int note_child(int parent, const char *name, unsigned char type, void *data) {
  struct walk *w = data;
  if (type != DT_DIR) return 0;
  struct effect *effect = child_effect(w, name, 1);
  if (!effect) return -E2BIG;
  effect->state = EFFECT_USED;
  w->depth++;
  return 0;
}

int use_cgroup(struct run *r, const char *hierarchy, const char *path, int dir) {
  struct walk w = {.r = r, .hierarchy = hierarchy, .path = path};
  struct effect *effect = effect_of(r->container->journal, cgroup_key(hierarchy, path), 1);
  int error = !effect ? -E2BIG : dir < 0 ? dir : list_directory(dir, note_child, &w);
  if (error == -E2BIG)
    format(&r->detail,
        "the journal has room for %d cgroups, and more than that are in this one: use one without child cgroups",
        JOURNAL_EFFECTS);
  if (error) return failing(r, "journal", error);
  effect->number = (uint32_t)w.depth;
  effect->state = EFFECT_USED;
  return 0;
}

static int refuse_stranger(int parent, const char *name, unsigned char type, void *data) {
  struct walk *w = data;
  if (type != DT_DIR || !child_effect(w, name, 0)) return 0;
  CLOSING int dir = sys_openat2(parent, name, O_RDONLY | O_DIRECTORY, BENEATH);
  if (dir < 0 || !is_populated(dir)) return 0;
  format(&w->r->detail,
      "processes that are not the container's would be frozen, too: they are in its child cgroup %s, which was there "
      "before",
      name);
  return -EBUSY;
}

int assert_no_strangers(struct run *r, const char *hierarchy, const char *path, int dir) {
  struct walk w = walk_of(r, hierarchy, path);
  int error = w.others ? list_directory(dir, refuse_stranger, &w) : 0;
  return error ? failing(r, "check", error) : 0;
}

int do_assert_empty_cgroup(struct run *r, const struct step_assert_empty_cgroup *s) {
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  if (dir == -ENOENT || (dir >= 0 && !is_populated(dir))) return 0;
  if (dir < 0) return failing(r, "open", dir);
  return failing_because(r, "check", -EBUSY, "it was there before, and has processes in it, or in a cgroup below it");
}
