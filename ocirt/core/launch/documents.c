#include "launch/documents.h"

#include <string.h>

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
  long size = read_all(fd, text, DOCUMENT_MAX + 1);
  if (size > DOCUMENT_MAX) fail("%s: found more than 16 MiB", path);
  if (size < 0) fail("%s %s: read: %e", what, path, (int)size);
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

struct span map_document(int fd) {
  struct span text = map_file(fd, STORED_MAX);
  if (!text.text) fail("no memory for config.json");
  return text;
}

struct span map_stored(int dir, const char *name) {
  CLOSING int fd = sys_open(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
  return map_file(fd, STORED_MAX);
}
