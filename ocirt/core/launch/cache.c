#include "launch/cache.h"

#include <string.h>
#include <sys/mman.h>

#include "base/files.h"
#include "base/log.h"
#include "base/processes.h"
#include "base/trace.h"
#include "launch/cache_directory.h"
#include "launch/entry.h"

#define DEBUG_LINE 1100

// The id of this boot, for entries on a disk: an entry of an earlier boot may be for another kernel. Null if /proc does
// not say it.
static const char *boot_id(void) {
  static char id[64];
  if (read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", id, sizeof id) <= 0) return 0;
  id[strcspn(id, "\n")] = 0;
  return id;
}

static void put_hash(struct buffer *to, struct span key) {
  static const char hex[] = "0123456789abcdef";
  uint64_t hash = hash_of(HASH, key.text, key.size);
  for (int shift = 60; shift >= 0; shift -= 4)
    put_bytes(to, &hex[hash >> shift & 15], 1);
}

// Ignores an entry that another user could have written, or can change.
static int is_trusted(int fd, struct stat *st) {
  return !sys_fstat(fd, st) && S_ISREG(st->st_mode) && st->st_uid == sys0(SYS_geteuid) &&
         !(st->st_mode & (S_IWGRP | S_IWOTH)) && st->st_nlink == 1 && st->st_size > 0 && st->st_size < CACHE_LIMIT;
}

static void count_hit(int fd, struct entry_head *head, int in_memory) {
  if (in_memory) {
    __atomic_fetch_add(&head->hits, 1, __ATOMIC_RELAXED);
    return;
  }
  // On a full disk a store to the mapping would end this process with SIGBUS, while pwrite only fails.
  uint64_t hits = head->hits + 1;
  sys4(SYS_pwrite64, fd, &hits, sizeof hits, offsetof(struct entry_head, hits));
}

// 1: its program is bound; 0: the entry does not fit; -1: no such file.
static int try_file(
    const struct lookup *l, const struct cache_directory *d, const char *name, struct program *program) {
  struct stat st;
  CLOSING int fd = sys_open(d->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK, 0);
  if (fd < 0) return fd == -ENOENT ? -1 : 0;
  if (!is_trusted(fd, &st)) return 0;
  struct entry_head *head = mmap(0, (size_t)st.st_size, PROT_READ | (d->in_memory ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (head == MAP_FAILED) return 0;
  int hit = try_entry(l, head, (size_t)st.st_size, program);
  if (hit) count_hit(fd, head, d->in_memory);
  // Also after a hit: a process that becomes a container must not have the entry, which other containers use, in
  // memory.
  munmap(head, (size_t)st.st_size);
  return hit;
}

// Tries the entries whose name is the hash of the key. Without a hit the directory's path becomes that of a new entry.
static int find(const struct lookup *l, struct cache_directory *d, struct program *program) {
  BUFFER(name, CACHE_NAME);
  TRACED("launch", "look up", "");
  put_hash(&name, l->key);
  size_t stem = name.used;
  int variant = 0;
  for (; variant < CACHE_VARIANTS; variant++) {
    name.used = stem;
    format(&name, ".%d", variant);
    int hit = try_file(l, d, name.data, program);
    if (hit == 1) return 1;
    if (hit < 0) break;
  }
  format(&d->reason,
      variant ? "%s has other programs of this structure and command line, which `ocirt cache explain` compares"
              : "%s has none of this structure and command line",
      d->path->data);
  if (variant == CACHE_VARIANTS) { // a new entry replaces one of them
    name.used = stem;
    format(&name, ".%d", (int)(sys0(SYS_getpid) % CACHE_VARIANTS));
  }
  format(d->path, "/%s", name.data);
  return 0;
}

// Scans all documents: 1, or 0 if Python has to explain one.
static int scan_all(struct lookup *l, const struct request_json *r, const struct inputs *in) {
  struct scan *s = &l->scan;
  TRACED("launch", "scan", "");
  if (in->config.size > SCAN_MAX || in->process.size > SCAN_MAX) return 0;
  l->values_size = plus(in->config.size + in->process.size, r->key.size + (size_t)r->bound.size);
  if (!scan_room(s, plus(l->values_size, r->key.size)) || !scan_document(s, REQUEST_DOCUMENT, r->key) ||
      !scan_document(s, REQUEST_DOCUMENT, r->bound))
    return 0;
  put(&s->structure, "\n");
  if (!scan_document(s, CONFIG_DOCUMENT, in->config) ||
      (in->process.text && !scan_document(s, PROCESS_DOCUMENT, in->process)))
    return 0;
  put(&s->structure, "\n");
  put_bytes(&s->structure, r->key.text, r->key.size);
  l->key = (struct span){s->structure.data, (uint32_t)s->structure.used};
  return !s->structure.full;
}

int find_program(const struct request *q, const struct inputs *in, struct program *program, struct asked *asked) {
  struct buffer path = {asked->place, sizeof asked->place, 0, 0};
  struct cache_directory d = {.fd = -1, .path = &path, .reason = {d.reason_data, sizeof d.reason_data, 0, 0}};
  struct lookup l = {0};
  int hit = -1; // nobody has looked
  asked->place[0] = d.reason_data[0] = 0;
  CLOSING int fd = find_cache_directory(q, &d);
  int is_lasting = fd >= 0 && !d.in_memory;
  const char *boot = is_lasting ? boot_id() : 0;
  write_request(&asked->request, q, in, boot);
  if (fd >= 0 && (asked->request.is_refused || !plain_id(q->arguments[0]) || (is_lasting && !boot)))
    put(&d.reason, "programs for this command line are not kept");
  else if (fd >= 0 && !scan_all(&l, &asked->request, in))
    put(&d.reason, "programs for this document are not kept (`ocirt cache explain` says more)");
  else if (fd >= 0)
    hit = find(&l, &d, program);
  if (hit <= 0 && logging.debug) {
    BUFFER(line, DEBUG_LINE);
    format(&line, "no kept program: %s", d.reason.data);
    log_line("debug", line.data);
  }
  if (hit < 0) asked->place[0] = 0;
  return hit > 0;
}
