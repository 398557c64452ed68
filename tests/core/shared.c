// The scanner and the binder for tests in one process: built as a shared library, see tests/unit/core.py.
#include "base/log.h"
#include "cgroup/dbus.h"
#include "launch/cache.h"
#include "launch/created_with.h"
#include "program/scan.h"

#include <string.h>
#include <sys/mman.h>

// The memory that a call has mapped goes with the next one: a process may make a hundred thousand of them. (The sources
// are built with this in place of mmap(2).)
static struct {
  void *memory;
  size_t size;
} mapped[64];
static unsigned n_mapped;

void *test_mmap(void *at, size_t size, int protection, int flags, int fd, long offset) {
  void *memory = (void *)sys6(SYS_mmap, (long)at, (long)size, protection, flags, fd, offset);
  if ((unsigned long)memory > -4096ul) return MAP_FAILED;
  if (fd == -1 && n_mapped < COUNT(mapped)) {
    mapped[n_mapped].memory = memory;
    mapped[n_mapped++].size = size;
  }
  return memory;
}

static void unmap_last(void) {
  while (n_mapped) {
    n_mapped--;
    sys2(SYS_munmap, mapped[n_mapped].memory, mapped[n_mapped].size);
  }
}

// The structure of a config into `out`: its size, -1 where the scanner refuses it.
long test_scan(const char *text, size_t size, char *out, size_t capacity) {
  struct scan s;
  unmap_last();
  if (size > SCAN_MAX || !scan_room(&s, size) ||
      !scan_document(&s, CONFIG_DOCUMENT, (struct span){text, (uint32_t)size}) || s.structure.used > capacity)
    return -1;
  memcpy(out, s.structure.data, s.structure.used);
  return (long)s.structure.used;
}

static long found(int hit, const struct program *program, const struct asked *asked, char *out, size_t capacity,
    char *path, char *request) {
  if (hit) {
    if (program->size > capacity) return -2;
    memcpy(out, program->base, program->size);
    return (long)program->size;
  }
  const struct buffer *text = &asked->request.text;
  strcpy(path, asked->place);
  memcpy(request, text->data, text->used);
  strcpy(request + text->used, "}");
  return -1;
}

// What `create` of the id would find in the cache directory: the program's size, or -1 and where one would be kept.
long test_find(const char *directory, const char *id, const char *bundle, int systemd, int debug, const char *config,
    size_t size, char *out, size_t capacity, char *path, char *request) {
  static char variable[4096];
  static char *environment[] = {variable, 0};
  static struct asked asked;
  struct buffer cache = {variable, sizeof variable, 0, 0};
  struct request q = {.verb = VERB_CREATE, .arguments = {id}, .n_arguments = 1, .environment = environment};
  struct program program = {0};
  unmap_last();
  put(&cache, "OCIRT_CACHE=");
  put(&cache, directory);
  q.flags[FLAG_BUNDLE] = bundle;
  q.flags[FLAG_ROOT] = "/run/ocirt";
  if (systemd) q.flags[FLAG_SYSTEMD_CGROUP] = "1";
  logging.debug = debug;
  struct inputs in = {.config = {config, (uint32_t)size}};
  return found(find_program(&q, &in, &program, &asked), &program, &asked, out, capacity, path, request);
}

// The same of `exec`, -3 where it does not read the command line.
long test_find_exec(const char *directory, char **argv, const char *config, size_t size, const char *process,
    size_t process_size, const char *created, const char *bundle, char *out, size_t capacity, char *path,
    char *request) {
  static char variable[4096];
  static char *environment[] = {variable, 0};
  static struct asked asked;
  static struct request q;
  struct buffer cache = {variable, sizeof variable, 0, 0};
  struct inputs in = {.config = {config, (uint32_t)size},
      .process = {process, (uint32_t)process_size},
      .bundle = bundle,
      .created = {created, (uint32_t)strlen(created)}};
  struct program program = {0};
  unmap_last();
  put(&cache, "OCIRT_CACHE=");
  put(&cache, directory);
  q = (struct request){.environment = environment};
  if (!parse_command_line(&q, argv)) return -3;
  q.flags[FLAG_ROOT] = "/run/ocirt";
  return found(find_program(&q, &in, &program, &asked), &program, &asked, out, capacity, path, request);
}

// The calls that the items make, into `out`: their size, -1 where they make none.
long test_calls(const char **items, unsigned count, int pid, char *out) {
  static struct wire w;
  struct texts all = {items, count};
  dbus_calls(&w, "", &all, pid);
  memcpy(out, w.data + 1, w.out.used - 1);
  return w.out.full ? -1 : (long)w.out.used - 1;
}

// What is read from a socket, message by message: type, number and texts of each as lines.
long test_read(int fd, char *out, size_t capacity) {
  static struct dbus d;
  struct dbus_message m;
  struct buffer to = {out, capacity, 0, 0};
  d = (struct dbus){.fd = fd, .deadline = INT64_MAX};
  int error;
  while (!(error = dbus_next(&d, &m))) {
    const char *text;
    put_number(&to, m.type);
    put(&to, " ");
    put_number(&to, m.reply_to);
    put(&to, " ");
    put(&to, m.member);
    put(&to, m.error);
    if (m.type == DBUS_SIGNAL) {
      put(&to, " ");
      put_number(&to, dbus_number(&m));
    }
    while ((text = dbus_text(&m))) {
      put(&to, " ");
      put(&to, text);
    }
    put(&to, "\n");
  }
  return error;
}
