// list: the containers beneath the root directory, as runc prints them. It reads all of this from journal and
// state.json, whose layouts every build shares: it reads no program, so containers of other builds are no exception.
#include "verbs/list.h"

#include <dirent.h>
#include <string.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/files.h"
#include "base/log.h"
#include "base/processes.h"
#include "launch/created_with.h"
#include "program/scan.h"
#include "state/container.h"

#define COLUMNS 6

#define NARROWEST 12 // a column; beside a longer value stand 3 spaces

// Memory that grows: what refers to it counts from its start.
struct store {
  char *data;
  size_t size, used;
};

static char *room(struct store *s, size_t more) {
  if (s->size - s->used < more) {
    size_t size = s->size ? s->size : 1 << 16;
    while (size - s->used < more)
      size *= 2;
    void *data = s->size ? mremap(s->data, s->size, size, MREMAP_MAYMOVE)
                         : mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) fail("no memory for a list of %d bytes", (int)size);
    *s = (struct store){data, size, s->used};
  }
  return s->data + s->used;
}

static void store(struct store *s, const char *data, size_t size) {
  memcpy(room(s, size), data, size);
  s->used += size;
}

// ---- standard output ----

static struct store output;

static void print(const char *text) { store(&output, text, strlen(text)); }

// ---- a container ----

struct listed {
  const char *id, *status;
  int pid;
  uid_t uid;
  int64_t seconds, nanoseconds;
  struct stored_state stored; // empty while it is being created
};

// A whole file of the root directory's, into `to`: its size, or a negative errno. No link is followed.
static long read_whole(int root, const char *id, const char *name, struct store *to) {
  BUFFER(path, 300);
  format(&path, "%s/%s", id, name);
  CLOSING int fd = sys_openat2(root, path.data, O_RDONLY | O_NONBLOCK, RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
  if (fd < 0) return fd;
  long n;
  to->used = 0;
  for (;;) {
    char *at = room(to, JOURNAL_SIZE + 1);
    size_t left = to->size - to->used;
    n = sys_read(fd, at, left);
    if (n > 0) to->used += (size_t)n;
    if (n < (long)left) break; // a file's end: one read more would find nothing
  }
  return n < 0 ? n : (long)to->used;
}

#define CGROUPS "/sys/fs/cgroup/"

// Does the file of a cgroup say 1? state.json of another user's container may name any file, so only one below
// /sys/fs/cgroup counts then: opening a device, for one, can have consequences.
static int says_1(struct span file, int ours) {
  static char path[4096];
  char first;
  if (file.size >= sizeof path || !scan_string(file, path)) return 0;
  if (!ours && (strncmp(path, CGROUPS, sizeof CGROUPS - 1) || strstr(path, "/../"))) return 0;
  CLOSING int fd = sys_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
  return fd >= 0 && sys_read(fd, &first, 1) == 1 && first == '1';
}

// Without a journal: 1 if a create or a delete was cut off early, so that there is little to show; otherwise 0 with
// what is wrong.
static int look_without_journal(const struct listed *l, int root, const char *data, long size, struct buffer *wrong) {
  int only_zeros = !size || (size > 0 && !*data && !memcmp(data, data + 1, (size_t)size - 1));
  if (size == -ENOENT || only_zeros) {
    CLOSING int dir = sys_open(root, l->id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    return container_only_begun(dir);
  }
  if (size < 0)
    format(wrong, "journal: %e", (int)size);
  else
    put(wrong, "the journal is broken");
  return 0;
}

static int look_at_state(struct listed *l, int root, struct buffer *wrong) {
  static struct store state;
  long size = read_whole(root, l->id, "state.json", &state);
  if (size >= 0 && read_stored_state(&l->stored, state.data, state.data + size)) return 1;
  if (size < 0 && size != -ENOENT)
    format(wrong, "state.json: %e", (int)size);
  else
    put(wrong, size < 0 ? "state.json is missing" : "state.json is broken");
  return 0;
}

// Fills in what the list shows of a container: 1, or 0 with what is wrong; with nothing if the container has gone
// meanwhile. The journal is read before state.json, because create writes `created` into it after state.json.
static int look_at(struct listed *l, int root, struct buffer *wrong) {
  static struct store journal;
  struct stat st;
  if (sys_stat(root, l->id, &st, AT_SYMLINK_NOFOLLOW) < 0) return 0;
  l->status = "creating";
  l->uid = st.st_uid;
  l->seconds = st.st_mtim.tv_sec;
  l->nanoseconds = st.st_mtim.tv_nsec;
  long size = read_whole(root, l->id, "journal", &journal);
  const struct journal *j = (const struct journal *)journal.data;
  if (size != JOURNAL_SIZE || memcmp(j->magic, JOURNAL_MAGIC, sizeof j->magic))
    return look_without_journal(l, root, journal.data, size, wrong);
  if (j->version != JOURNAL_VERSION || j->phase < PHASE_CREATING || j->phase > PHASE_RUNNING) {
    format(wrong, "the journal has version %d, phase %d: not of this build's making", (int)j->version, (int)j->phase);
    return 0;
  }
  int alive = j->pid > 0 && process_lives(j->pid, j->start_time);
  l->pid = alive ? j->pid : 0;
  l->seconds = j->created_seconds;
  l->nanoseconds = j->created_nanoseconds;
  l->status = status_of(j, alive, 0);
  if (j->phase == PHASE_CREATING) return 1;
  if (!look_at_state(l, root, wrong)) return 0;
  if (alive && says_1(l->stored.paused_file, st.st_uid == sys0(SYS_geteuid))) l->status = status_of(j, 1, 1);
  return 1;
}

// The name of a user in this host's /etc/passwd, "#uid" if it has none.
static const char *owner(uid_t uid) {
  static char found[256];
  static uid_t of;
  if (*found && of == uid) return found;
  struct buffer name = {found, sizeof found, 0, 0};
  CLOSING int passwd = sys_open(AT_FDCWD, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0);
  of = uid;
  if (passwd < 0 || !put_user(&name, passwd, uid, USER_NAME)) format(&name, "#%l", (int64_t)uid);
  return found;
}

// ---- as JSON ----

// JSON without space between its tokens: engines get one line.
static void print_compact(struct span json) {
  int in_string = 0;
  const char *end = json.text + json.size, *from = json.text;
  for (const char *at = from; at < end; at++) {
    if (*at == '"') in_string = !in_string;
    if (*at == '\\' && in_string) at++;
    if (in_string || skip_space(at, at + 1) == at) continue;
    store(&output, from, (size_t)(at - from));
    from = at + 1;
  }
  store(&output, from, (size_t)(end - from));
}

static void print_member(const char *name, struct span value) {
  print(name);
  print_compact(value.size ? value : (struct span){"\"\"", 2});
}

static void print_object(const struct listed *l, int first) {
  const struct stored_state *m = &l->stored;
  BUFFER(text, 1024);
  format(&text, ",\"id\":%j,\"pid\":%d,\"status\":%j", l->id, l->pid, l->status);
  print_member(first ? "[{\"ociVersion\":" : ",{\"ociVersion\":", m->oci_version);
  print(text.data);
  print_member(",\"bundle\":", m->bundle);
  print_member(",\"rootfs\":", m->rootfs);
  text.used = 0;
  put(&text, ",\"created\":\"");
  put_time(&text, l->seconds, l->nanoseconds);
  put(&text, "\"");
  print(text.data);
  if (m->annotations.size && *m->annotations.text == '{' &&
      *skip_space(m->annotations.text + 1, m->annotations.text + m->annotations.size) != '}')
    print_member(",\"annotations\":", m->annotations);
  text.used = 0;
  format(&text, ",\"owner\":%j}", owner(l->uid));
  print(text.data);
}

// ---- as a table ----

struct list_table {
  struct store cells;
  size_t widths[COLUMNS];
}; // cells are texts, row after row, each ended by NUL

static size_t characters(const char *text) {
  size_t count = 0;
  for (; *text; text++)
    count += ((unsigned char)*text & 0xc0) != 0x80;
  return count;
}

static void add_row(struct list_table *t, const char *const cells[COLUMNS]) {
  for (unsigned column = 0; column < COLUMNS; column++) {
    size_t width = characters(cells[column]) + 3;
    if (width < NARROWEST) width = NARROWEST;
    if (width > t->widths[column]) t->widths[column] = width;
    store(&t->cells, cells[column], strlen(cells[column]) + 1);
  }
}

static void add_container(struct list_table *t, const struct listed *l) {
  static struct store decoded;
  BUFFER(pid, 16);
  BUFFER(created, 64);
  char *bundle = room(&decoded, l->stored.bundle.size + 1);
  if (!scan_string(l->stored.bundle, bundle)) *bundle = 0;
  put_number(&pid, l->pid);
  put_time(&created, l->seconds, l->nanoseconds);
  add_row(t, (const char *const[]){l->id, pid.data, l->status, bundle, created.data, owner(l->uid)});
}

static void print_table(const struct list_table *t) {
  const char *cell = t->cells.data;
  for (unsigned column = 0; cell < t->cells.data + t->cells.used; column = (column + 1) % COLUMNS) {
    print(cell);
    for (size_t n = characters(cell); column < COLUMNS - 1 && n < t->widths[column]; n++)
      print(" ");
    if (column == COLUMNS - 1) print("\n");
    cell += strlen(cell) + 1;
  }
}

static int add_id(int dir, const char *name, unsigned char type, void *data) {
  struct stat st;
  int is_directory =
      type == DT_DIR || (type == DT_UNKNOWN && !sys_stat(dir, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode));
  if (is_directory && plain_id(name)) store(data, name, strlen(name) + 1);
  return 0;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

// The ids of the containers below --root, in order, each ended by a NUL.
static size_t read_ids(const struct request *q, int root, const char ***sorted) {
  static struct store ids, order;
  int error = root;
  // As runc does: the default root is made by the first create, but a root that the caller names must exist.
  if (root >= 0)
    error = list_directory(root, add_id, &ids);
  else if (root == -ENOENT && q->has_default_root)
    error = 0;
  if (error) fail("--root %s: %e", q->flags[FLAG_ROOT], error);
  for (char *id = ids.data; id < ids.data + ids.used; id += strlen(id) + 1)
    store(&order, (char *)&id, sizeof id);
  *sorted = (const char **)order.data;
  size_t count = order.used / sizeof **sorted;
  if (count) qsort(*sorted, count, sizeof **sorted, by_name);
  return count;
}

// Looks at a container: 1, or 0 with a warning if something is wrong with one that still exists.
static int look_or_warn(struct listed *l, int root) {
  BUFFER(wrong, LOG_LINE);
  struct stat st;
  if (look_at(l, root, &wrong)) return 1;
  if (!wrong.used || sys_stat(root, l->id, &st, AT_SYMLINK_NOFOLLOW)) return 0;
  warn("container %s: %s", l->id, wrong.data);
  return 0;
}

_Noreturn void verb_list(struct request *q) {
  static const char *const head[COLUMNS] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
  struct list_table table = {0};
  const char *layout = q->flags[FLAG_FORMAT], **ids;
  int quiet = q->flags[FLAG_QUIET] != 0, json = !quiet && layout && !strcmp(layout, "json"), shown = 0;
  int root = root_directory(q->flags[FLAG_ROOT], 0);
  size_t count = read_ids(q, root, &ids);
  if (!quiet && !json) add_row(&table, head);
  for (size_t i = 0; i < count; i++) {
    struct listed container = {.id = ids[i]};
    if (quiet) {
      print(ids[i]);
      print("\n");
    } else if (look_or_warn(&container, root)) {
      if (json)
        print_object(&container, !shown++);
      else
        add_container(&table, &container);
    }
  }
  if (json) print(shown ? "]\n" : "null\n");
  if (!quiet && !json) print_table(&table);
  int error = write_all(1, output.data, output.used);
  if (error) fail("standard output: %e", error);
  end_verb(0);
}
