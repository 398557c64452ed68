// The cache of compiled programs: an entry holds a template, and all that compiling looked at when it was made. It is
// used where every one of those is the same now, byte for byte; anything else, a damaged file included, is a miss.
// Written by ocirt/plan/cache.py, which has the layout.
#include "launch/cache.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/prctl.h>

#include "base/cgroupfs.h"
#include "base/files.h"
#include "base/log.h"
#include "base/processes.h"
#include "build-id.h"
#include "launch/cli_key.h"

#define VARIANTS 16

#define WORD_MAX 4300 // of the command line: an absolute path

#define TEXT_MAX 4096 // of a value that a test is asked of

#define UNIT_PATH_MAX 2048 // of the path of a slice

// File systems that linux/magic.h leaves out.
#define RAMFS_MAGIC 0x858458f6

#define ZFS_MAGIC 0x2fc12fc1

#define BCACHEFS_SUPER_MAGIC 0xca451a4e

enum predicate {
  IS_EMPTY,
  IS_ABSOLUTE,
  EQUALS,
  STARTS_WITH,
  IS_PATH,
  GOES_UP,
  WITHIN,
  HAS,
  NUMBER_EQUALS,
  LIST_IS_EMPTY,
  ENDS_WITH,
  IS_UNIT,
  CONTAINS
};

enum { ABSOLUTE = 1, MAX_LENGTH = 2, RANGE = 4 };

// ---- reading an entry ----

struct entry_head {
  char magic[8];
  uint32_t format, size;
  uint64_t hits;
  char build[BUILD_SIZE];
};

struct reader {
  const uint8_t *at, *end;
  int bad;
};

static const void *take(struct reader *r, size_t size) {
  if (r->bad || (size_t)(r->end - r->at) < size) {
    r->bad = 1;
    return 0;
  }
  const void *data = r->at;
  r->at += size;
  return data;
}

static uint8_t take_byte(struct reader *r) {
  const uint8_t *byte = take(r, 1);
  return byte ? *byte : 0;
}

static uint32_t take_number(struct reader *r) {
  uint32_t number = 0;
  const void *data = take(r, sizeof number);
  if (data) memcpy(&number, data, sizeof number);
  return number;
}

static __int128 take_wide(struct reader *r) {
  __int128 number = 0;
  const void *data = take(r, sizeof number);
  if (data) memcpy(&number, data, sizeof number);
  return number;
}

static struct span take_span(struct reader *r) {
  uint32_t size = take_number(r);
  const char *text = take(r, size);
  return text ? (struct span){text, size} : (struct span){"", 0};
}

static int same(struct span a, struct span b) {
  return a.size == b.size && !memcmp(a.text, b.text, a.size);
}

// ---- values of this config and command line ----

// The cgroup of a slice, into a buffer of UNIT_PATH_MAX; 0 where the text names none: what model/text.py's unit_parts
// does.
static int slice_path(struct span slice, struct span *path) {
  static char data[UNIT_PATH_MAX + 1];
  static const char suffix[] = ".slice";
  uint32_t used = 0, size = sizeof suffix - 1;
  *path = (struct span){data, 0};
  if (!slice.size) return 1;
  if (slice.size <= size || memcmp(slice.text + slice.size - size, suffix, size)) return 0;
  uint32_t stem = slice.size - size;
  if (stem == 1 && slice.text[0] == '-') return 1;
  for (uint32_t at = 0, begun = 0; at <= stem; at++) {
    if (at < stem && slice.text[at] != '-') continue;
    if (at == begun || 1 + at + size > UNIT_PATH_MAX - used) return 0;
    data[used++] = '/';
    memcpy(data + used, slice.text, at);
    memcpy(data + used + at, suffix, size);
    used += at + size;
    begun = at + 1;
  }
  path->size = used;
  return 1;
}

// Part 0 to 3 of `slice:prefix:name`: these three, and the slice's cgroup. 0: the text has not that form.
static int unit_part(struct span text, unsigned part, struct span *found) {
  struct span parts[4] = {{text.text, 0}};
  unsigned n = 0;
  for (uint32_t at = 0; at < text.size; at++) {
    if (text.text[at] == '/') return 0;
    if (text.text[at] != ':') {
      parts[n].size++;
      continue;
    }
    if (++n == 3) return 0;
    parts[n].text = text.text + at + 1;
  }
  if (part > 3 || n != 2 || !parts[2].size || !slice_path(parts[0], &parts[3])) return 0;
  *found = parts[part];
  return 1;
}

// What a source names: a leaf by its number, or a `:part` of it, `$word` of the command line, `@key` of the
// annotations, or how many keys of them begin as `*prefix` says. 0: there is none.
static int find_value(const struct lookup *l, struct reader *r, struct leaf *value) {
  struct span name = take_span(r);
  uint32_t number = take_number(r);
  if (r->bad || (!name.size && number >= l->scan.n_leaves)) {
    r->bad = 1;
    return 0;
  }
  if (!name.size) {
    *value = l->scan.leaves[number];
    return 1;
  }
  struct span key = {name.text + 1, name.size - 1};
  *value = (struct leaf){.kind = LEAF_TEXT};
  if (name.text[0] == '$') return word_value(l, key, value);
  if (name.text[0] == ':' && key.size == 1 && number < l->scan.n_leaves) {
    struct span part = {0};
    const struct leaf *whole = &l->scan.leaves[number];
    if (whole->kind != LEAF_TEXT ||
        !unit_part((struct span){whole->text, whole->size}, (unsigned)(key.text[0] - '0'), &part))
      return 0;
    value->text = part.text;
    value->size = part.size;
    return 1;
  }
  if (number >= l->scan.n_leaves || l->scan.leaves[number].kind != LEAF_RAW) {
    r->bad = 1;
    return 0;
  }
  const struct leaf *raw = &l->scan.leaves[number];
  int is_prefix = name.text[0] == '*';
  if (is_prefix) *value = (struct leaf){.kind = LEAF_NUMBER}; // how many begin so
  for (uint32_t i = 0; i < raw->count; i++) {
    const struct span *pair = &l->scan.items[raw->first + 2 * i];
    if (is_prefix) value->number += pair[0].size >= key.size && !memcmp(pair[0].text, key.text, key.size);
    if (is_prefix || !same(pair[0], key)) continue;
    value->text = pair[1].text;
    value->size = pair[1].size;
    return 1;
  }
  return is_prefix && value->number;
}

// ---- the machine and the caller ----

static void put_memberships(struct buffer *to, int own) {
  static char text[8192];
  if (read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof text) <= 0) return;
  for (char *line = text; *line;) {
    char *end = line + strcspn(line, "\n"), *names = memchr(line, ':', (size_t)(end - line));
    char *path = names ? memchr(names + 1, ':', (size_t)(end - names - 1)) : 0;
    put_bytes(to, line, (size_t)((own || !path ? end : path) - line));
    put(to, "\n");
    line = *end ? end + 1 : end;
  }
}

static void put_capabilities(struct buffer *to) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  sys2(SYS_capget, &head, data);
  put_number(to, (int64_t)((uint64_t)data[1].permitted << 32 | data[0].permitted));
}

static int put_bounded(struct buffer *to, const char *mask) {
  int64_t bits, found = 0;
  if (parse_number(mask, &bits)) return -1;
  for (unsigned long i = 0; i < 63; i++)
    if (bits >> i & 1 && sys_prctl(PR_CAPBSET_READ, i, 0, 0) == 1) found |= (int64_t)1 << i;
  put_number(to, found);
  return 0;
}

static void put_device(struct buffer *to, const char *path, int *cgroupfs) {
  struct stat st;
  int dir = beneath_cgroupfs(cgroupfs, &path);
  if (sys_stat(dir, path, &st, 0) < 0)
    put(to, "-");
  else
    put_number(to, (int64_t)st.st_dev);
}

static int observe(struct reader *r, int *cgroupfs) {
  static char text[8192];
  struct buffer found = {text, sizeof text, 0, 0};
  uint8_t kind = take_byte(r);
  struct span argument = take_span(r), expected = take_span(r);
  char path[512];
  if (r->bad || argument.size >= sizeof path) return 0;
  memcpy(path, argument.text, argument.size);
  path[argument.size] = 0;
  found.data[0] = 0;
  switch (kind) {
  case 'i':
    put_number(&found, sys0(SYS_geteuid));
    put(&found, " ");
    put_number(&found, sys0(SYS_getegid));
    break;
  case 'c':
    put_capabilities(&found);
    break;
  case 'b':
    if (put_bounded(&found, path)) return 0;
    break;
  case 'd':
    put_device(&found, path, cgroupfs);
    break;
  case 'w':
    put_number(&found, sys3(SYS_faccessat, AT_FDCWD, path, 2 /* W_OK */) == 0);
    break;
  case 'g':
  case 'o':
    put_memberships(&found, kind == 'o');
    break;
  case 't': {
    long n = read_file(AT_FDCWD, path, text, sizeof text);
    if (n < 0) return 0;
    found.used = (size_t)n;
    break;
  }
  default:
    return 0;
  }
  return !found.full && same(expected, (struct span){found.data, (uint32_t)found.used});
}

// ---- tests ----

static int goes_up(struct span path) {
  for (uint32_t at = 0; at <= path.size;) {
    uint32_t end = at;
    while (end < path.size && path.text[end] != '/')
      end++;
    if (end - at == 2 && !memcmp(path.text + at, "..", 2)) return 1;
    at = end + 1;
  }
  return 0;
}

static int test(const struct lookup *l, struct reader *r) {
  struct leaf value;
  char path[TEXT_MAX + 2];
  int there = find_value(l, r, &value), answer, found = 0;
  uint8_t predicate = take_byte(r);
  answer = take_byte(r);
  uint32_t count = take_number(r);
  struct span text = {value.text, value.size};
  if (r->bad || (!there && predicate != HAS)) return 0;
  if (predicate == HAS) return there == answer;
  if (predicate == LIST_IS_EMPTY) return value.kind == LEAF_LIST && (value.count == 0) == answer;
  if (predicate == NUMBER_EQUALS)
    return value.kind == LEAF_NUMBER && (take_wide(r) == value.number) == answer && !r->bad;
  if (value.kind != LEAF_TEXT || text.size > TEXT_MAX) return 0;
  if (predicate == IS_EMPTY) found = !text.size;
  if (predicate == IS_ABSOLUTE) found = text.size && text.text[0] == '/';
  if (predicate == GOES_UP) found = goes_up(text);
  if (predicate == IS_PATH) text = (struct span){path, (uint32_t)clean_path(text.text, text.size, path)};
  if (predicate == IS_UNIT) {
    struct span part;
    found = unit_part(text, 0, &part);
  }
  for (uint32_t i = 0; i < count && !r->bad; i++) {
    struct span other = take_span(r);
    if (predicate == STARTS_WITH)
      found |= text.size >= other.size && !memcmp(text.text, other.text, other.size);
    else if (predicate == ENDS_WITH)
      found |= text.size >= other.size && !memcmp(text.text + text.size - other.size, other.text, other.size);
    else if (predicate == CONTAINS)
      found |= memmem(text.text, text.size, other.text, other.size) != 0;
    else
      found |= same(text, other);
  }
  return found == answer && !r->bad;
}

static int guard(const struct lookup *l, struct reader *r) {
  struct leaf value;
  int there = find_value(l, r, &value);
  if (take_byte(r) == 'i') return there && value.kind == LEAF_NUMBER && take_wide(r) == value.number && !r->bad;
  struct span expected = take_span(r);
  return there && !r->bad && value.kind == LEAF_TEXT && same(expected, (struct span){value.text, value.size});
}

// ---- binding ----

struct bound {
  char *data;
  size_t used, size;
};

// 0: there is no room, which only an entry that was not made by us can ask for.
static int append(struct bound *b, struct span text) {
  if (b->size - b->used < (size_t)text.size + 1) return 0;
  if (text.size) memcpy(b->data + b->used, text.text, text.size);
  b->data[b->used + text.size] = 0;
  b->used += text.size + 1;
  return 1;
}

static int bind_slot(const struct lookup *l, struct reader *r, struct bound *b, uint32_t data_at, struct slot *slot) {
  struct leaf value;
  int there = find_value(l, r, &value);
  uint8_t kind = take_byte(r), checks = take_byte(r);
  uint32_t max_length = take_number(r);
  __int128 low = take_wide(r), high = take_wide(r);
  if (r->bad || !there) return 0;
  *slot = (struct slot){.kind = kind};
  if (kind == NUMBER_VALUE) {
    if (value.kind != LEAF_NUMBER || (checks & RANGE && (value.number < low || value.number > high))) return 0;
    slot->number = (int64_t)value.number;
    return 1;
  }
  slot->offset = (uint32_t)b->used - data_at;
  if (kind == LIST_VALUE) {
    if (value.kind != LEAF_LIST) return 0;
    for (uint32_t i = 0; i < value.count; i++)
      if (!append(b, l->scan.items[value.first + i])) return 0;
    slot->count = value.count;
    slot->size = (uint32_t)b->used - data_at - slot->offset;
    return append(b, (struct span){"", 0});
  }
  if (value.kind != LEAF_TEXT && value.kind != LEAF_RAW) return 0;
  if (checks & ABSOLUTE && !(value.size && value.text[0] == '/')) return 0;
  if (checks & MAX_LENGTH && value.size > max_length) return 0;
  slot->size = value.size;
  return append(b, (struct span){value.text, value.size});
}

// The template's tables are kept, its slots and what comes behind them made anew.
static int bind_program(const struct lookup *l, struct reader *r, size_t values_size, struct program *program) {
  struct reader slots = *r;
  uint32_t count = take_number(r);
  struct leaf ignored;
  for (uint32_t i = 0; i < count && !r->bad; i++) {
    find_value(l, r, &ignored);
    take(r, 6 + 2 * sizeof(__int128));
  }
  struct span template = take_span(r);
  struct program_header header;
  if (r->bad || template.size < sizeof header) return 0;
  memcpy(&header, template.text, sizeof header);
  uint32_t bound = header.slots.size / sizeof(struct slot);
  if (bound > count || header.slots.offset > template.size || header.slots.size > template.size - header.slots.offset ||
      header.data.offset > template.size)
    return 0;
  // All values together are no longer than what they stand in, each perhaps as a part of another too; the id and paths
  // are no longer than the command line's.
  size_t capacity = plus(template.size, plus(times((size_t)count + 1, 16 + WORD_MAX), times(3, values_size)));
  char *data = mmap(0, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return 0;
  memcpy(data, template.text, template.size);
  struct bound b = {data, template.size, capacity};
  take_number(&slots);
  for (uint32_t i = 0; i < count; i++) {
    struct slot slot;
    size_t before = b.used;
    if (!bind_slot(l, &slots, &b, header.data.offset, &slot)) {
      munmap(data, capacity);
      return 0;
    }
    if (i < bound)
      memcpy(data + header.slots.offset + i * sizeof slot, &slot, sizeof slot);
    else
      b.used = before; // it was only checked
  }
  header.size = (uint32_t)b.used;
  header.data.size = (uint32_t)b.used - header.data.offset;
  memcpy(data, &header, sizeof header);
  if (program_use(program, data, b.used)) {
    munmap(data, capacity);
    return 0;
  }
  return 1;
}

static int try_entry(const struct lookup *l, struct span key, const void *data, size_t size, size_t values_size,
    struct program *program) {
  struct reader r = {data, (const uint8_t *)data + size, 0};
  struct entry_head head;
  CLOSING int cgroupfs = -1;
  const void *start = take(&r, sizeof head);
  if (!start) return 0;
  memcpy(&head, start, sizeof head);
  if (memcmp(head.magic, CACHE_MAGIC, sizeof head.magic) || head.format != CACHE_FORMAT || head.size != size ||
      memcmp(head.build, BUILD_ID, BUILD_SIZE) || !same(take_span(&r), key))
    return 0;
  for (uint32_t n = take_number(&r); n && !r.bad; n--)
    if (!guard(l, &r)) return 0;
  for (uint32_t n = take_number(&r); n && !r.bad; n--)
    if (!test(l, &r)) return 0;
  for (uint32_t n = take_number(&r); n && !r.bad; n--)
    if (!observe(&r, &cgroupfs)) return 0;
  return !r.bad && bind_program(l, &r, values_size, program);
}

// ---- the directory ----

struct directory {
  int fd; // -1: there is none to be had
  int in_memory; // nothing in it outlives the kernel
  struct buffer *path;
  struct buffer reason; // why there is none, or nothing in it serves: for --debug
  char reason_data[1024];
};

// Of this machine, whose kernel alone decides what a file holds: a file system of memory, one on a block device, or one
// that has devices beneath it under a number of its own. A server (NFS, FUSE, 9p) may change an entry after it has been
// compared.
static int is_local(const struct stat *st, long type) {
  static const long with_devices_beneath[] = {
      TMPFS_MAGIC, RAMFS_MAGIC, OVERLAYFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, ZFS_MAGIC, BCACHEFS_SUPER_MAGIC};
  for (unsigned i = 0; i < COUNT(with_devices_beneath); i++)
    if (type == with_devices_beneath[i]) return 1;
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

// The directory at d->path, made where it is missing, if it is the caller's alone and local.
static int open_directory(struct directory *d, int parent_mode) {
  const char *path = d->path->data;
  struct stat st;
  struct statfs fs;
  CLOSING int fd = sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  if (fd == -ENOENT) {
    int error = make_directory(d->path->data, parent_mode);
    fd = error < 0 && error != -EEXIST ? error : sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
  }
  int error = fd < 0 ? fd : sys_fstat(fd, &st);
  if (!error) error = (int)sys2(SYS_fstatfs, fd, &fs);
  if (d->reason.used) put(&d->reason, "; ");
  if (error)
    format(&d->reason, "%s: %e", path, error);
  else if (st.st_uid != sys0(SYS_geteuid) || st.st_mode & 077)
    format(&d->reason, "%s is not the caller's alone (mode 0700)", path);
  else if (!is_local(&st, fs.f_type))
    format(&d->reason, "%s is not on a local file system", path);
  else {
    d->in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
    return d->fd = release(&fd);
  }
  return -1;
}

// Where programs may be kept, the best place first: what is emptied at each boot, then what is not. Python has the same
// list in cli/cache.py.
static const struct {
  const char *variable, *folder;
} places[] = {{0, "/run/ocirt-cache"}, {"XDG_RUNTIME_DIR", "/ocirt-cache"}, {0, "/var/cache/ocirt"},
    {"XDG_CACHE_HOME", "/ocirt"}, {"HOME", "/.cache/ocirt"}};

static int search_directory(const struct request *q, struct directory *d) {
  for (unsigned i = 0; i < COUNT(places); i++) {
    const char *base = places[i].variable ? environment_variable(q, places[i].variable) : "";
    if (places[i].variable ? !base || *base != '/' : sys0(SYS_geteuid) != 0) continue;
    d->path->used = d->path->full = 0;
    format(d->path, "%s%s", base, places[i].folder);
    if (!d->path->full && open_directory(d, places[i].variable ? 0700 : 0755) >= 0) return d->fd;
  }
  if (!d->reason.used) put(&d->reason, "XDG_RUNTIME_DIR, XDG_CACHE_HOME and HOME name no directory");
  return -1;
}

static int find_directory(const struct request *q, struct directory *d) {
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
  // The Python code of a tree may be another by now than what the build id was made of: only where it is asked for.
  else if (!chosen)
    put(&d->reason, "a tree's build keeps programs only where OCIRT_CACHE names a directory");
#endif
  else
    return search_directory(q, d);
  return -1;
}

// What lies on a disk may be of an earlier boot, when the kernel could do something else. (In memory the boot is this
// one.)
static int put_boot(struct buffer *words) {
  char id[64];
  long size = read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", id, sizeof id);
  if (size <= 0) return 0;
  id[strcspn(id, "\n")] = 0;
  format(words, " boot=%s", id);
  return 1;
}

static void put_hash(struct buffer *to, struct span key) {
  static const char hex[] = "0123456789abcdef";
  uint64_t hash = 0xcbf29ce484222325; // FNV-1a
  for (uint32_t i = 0; i < key.size; i++)
    hash = (hash ^ (unsigned char)key.text[i]) * 0x100000001b3;
  for (int shift = 60; shift >= 0; shift -= 4)
    put_bytes(to, &hex[hash >> shift & 15], 1);
}

static int try_file(const struct lookup *l, const struct directory *d, const char *name, struct span key,
    size_t values_size, struct program *program) {
  struct stat st;
  CLOSING int fd = sys_open(d->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
  if (fd < 0) return fd == -ENOENT ? -1 : 0;
  if (sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != sys0(SYS_geteuid) || st.st_mode & 022 ||
      st.st_nlink != 1 || st.st_size <= 0 || st.st_size >= 16 << 20)
    return 0;
  struct entry_head *head = mmap(0, (size_t)st.st_size, PROT_READ | (d->in_memory ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (head == MAP_FAILED) return 0;
  int hit = try_entry(l, key, head, (size_t)st.st_size, values_size, program);
  if (hit && d->in_memory)
    __atomic_fetch_add(&head->hits, 1, __ATOMIC_RELAXED);
  else if (hit) {
    // On a disk that is full a store to the mapping would end this process.
    uint64_t hits = head->hits + 1;
    sys4(SYS_pwrite64, fd, &hits, sizeof hits, offsetof(struct entry_head, hits));
  }
  // A hit too: what other containers will be bound to must not be in the memory of a process that becomes one.
  munmap(head, (size_t)st.st_size);
  return hit;
}

// Of the entries that the hash of the lookup's structure and of `words` names, the one that holds.
static int find(
    struct lookup *l, struct directory *d, const struct buffer *words, size_t values_size, struct program *program) {
  put_bytes(&l->scan.structure, "\n", 1);
  put_bytes(&l->scan.structure, words->data, words->used);
  struct span key = {l->scan.structure.data, (uint32_t)l->scan.structure.used};
  BUFFER(name, CACHE_NAME);
  put_hash(&name, key);
  put(&name, ".");
  size_t stem = name.used;
  int variant = 0;
  for (; variant < VARIANTS; variant++) {
    name.used = stem;
    put_number(&name, variant);
    int hit = try_file(l, d, name.data, key, values_size, program);
    if (hit == 1) return 1;
    if (hit < 0) break;
  }
  format(&d->reason,
      variant ? "%s has other programs of this structure and command line, which `ocirt cache explain` compares"
              : "%s has none of this structure and command line",
      d->path->data);
  // All variants taken: one of them makes room.
  if (variant == VARIANTS) {
    name.used = stem;
    put_number(&name, sys0(SYS_getpid) % VARIANTS);
  }
  format(d->path, "/%s", name.data);
  return 0;
}

// What is looked up: the command line, then documents one after the other. `created`: exec's, what the container was
// made with.
static int look_up(const struct request *q, struct lookup *l, const struct existing *container, const char *config,
    size_t config_size, struct program *program, struct place *place) {
  struct buffer path = {place->path, sizeof place->path, 0, 0}, words = {place->key, sizeof place->key, 0, 0};
  struct directory d = {.fd = -1, .path = &path, .reason = {d.reason_data, sizeof d.reason_data, 0, 0}};
  const char *process = container ? container->process : 0;
  size_t words_size, process_size = process ? container->process_size : 0, size = config_size + process_size;
  size_t count = count_words(q, &words_size);
  int looked = 0, hit = 0;
  place->path[0] = place->key[0] = d.reason_data[0] = 0;
  l->q = q;
  CLOSING int fd = find_directory(q, &d);
  int known = fd >= 0 && put_words(&words, q) && (d.in_memory || put_boot(&words));
  // What the container was created with: no value of it is passed on.
  if (container) {
    put(&words, " created=");
    put_bytes(&words, container->request.text, container->request.size);
  }
  if (fd >= 0 && (!known || words.full || !plain_id(q->arguments[0])))
    put(&d.reason, "programs for this command line are not kept");
  else if (fd >= 0 &&
           (config_size > SCAN_MAX || process_size > SCAN_MAX || !scan_room(&l->scan, size + words.used, count) ||
               !scan_document(&l->scan, "", 0, config, config_size) ||
               (process && !scan_document(&l->scan, "kprocess", sizeof "kprocess", process, process_size))))
    put(&d.reason, "programs for this document are not kept (`ocirt cache explain` says more)");
  else if (fd >= 0) {
    list_words(l);
    if (l->bundle) words_size += strlen(l->bundle) + 1;
    hit = find(l, &d, &words, size + words_size, program);
    looked = 1;
  }
  if (!hit && logging.debug) {
    BUFFER(line, sizeof d.reason_data + 32);
    format(&line, "no kept program: %s", d.reason.data);
    log_line("debug", line.data);
  }
  if (!looked) place->path[0] = 0;
  return hit;
}

int find_program(
    const struct request *q, const char *config, size_t size, struct program *program, struct place *place) {
  struct lookup l = {0};
  return look_up(q, &l, 0, config, size, program, place);
}

int find_exec_program(
    const struct request *q, const struct existing *container, struct program *program, struct place *place) {
  struct lookup l = {.bundle = container->bundle};
  return look_up(q, &l, container, container->config, container->config_size, program, place);
}
