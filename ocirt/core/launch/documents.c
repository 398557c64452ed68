#include "launch/documents.h"

#include <string.h>
#include <sys/mman.h>

#include "base/files.h"
#include "base/log.h"
#include "base/need.h"
#include "base/trace.h"
#include "launch/detach.h"

#define DOCUMENT_MAX (16 << 20) // bytes of a document that a caller gives
#define STORED_MAX (64 << 20) // bytes of a file of the state directory

struct span read_document(const char *what, const char *path, int only_regular) {
  struct stat st;
  TRACED("launch", "read", path);
  CLOSING int fd = !strcmp(path, STDIN) ? sys_fcntl(0, F_DUPFD_CLOEXEC, 3)
                                        : sys_open(AT_FDCWD, path, O_RDONLY | (only_regular ? O_NONBLOCK : 0), 0);
  if (fd == -ENOENT && only_regular)
    logging.hint = "--bundle names the directory that holds it; ocirt spec writes one to start from";
  if (fd < 0) fail("%s %s: %e", what, path, fd);
  if (only_regular && (sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
    fail("%s: found something else, expected a regular file", path);
  char *text = arena_need(DOCUMENT_MAX + 1, path);
  size_t size = 0;
  long n;
  while ((n = sys_read(fd, text + size, DOCUMENT_MAX + 1 - size)) > 0)
    size += (size_t)n;
  if (size > DOCUMENT_MAX) fail("%s: found more than 16 MiB", path);
  if (n < 0) fail("%s %s: read: %e", what, path, (int)n);
  return (struct span){text, (uint32_t)size};
}

struct span read_config(const struct request *q) {
  if (q->flags[FLAG_CONFIG]) return read_document("--config", q->flags[FLAG_CONFIG], 0);
  struct buffer path = arena_buffer(plus(strlen(q->flags[FLAG_BUNDLE]), sizeof "/config.json"));
  format(&path, "%s/config.json", q->flags[FLAG_BUNDLE]);
  return read_document("config.json: open", path.data, 1);
}

int sealed_memfd(struct span text) {
  int copy = sys_memfd("config.json", MFD_NOEXEC_SEAL), error = copy < 0 ? copy : write_all(copy, text.text, text.size);
  if (error) fail("memfd_create: %e", error);
  sys_fcntl(copy, F_ADD_SEALS, SEALS);
  return copy;
}

// Maps a file; null if it is empty or larger than any that ocirt writes.
static struct span mapped(int fd) {
  struct stat st;
  if (fd < 0 || sys_fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > STORED_MAX) return (struct span){0};
  const char *text = mmap(0, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  return text == MAP_FAILED ? (struct span){0} : (struct span){text, (uint32_t)st.st_size};
}

struct span map_document(int fd) {
  struct span text = mapped(fd);
  if (!text.text) fail("no memory for config.json");
  return text;
}

struct span map_stored(int dir, const char *name) {
  CLOSING int fd = sys_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
  return mapped(fd);
}
