#include "launch/descriptors.h"

#include <linux/close_range.h>
#include <string.h>

#include "base/log.h"
#include "base/need.h"

#define FIRST 3 // the first descriptor after the standard streams
#define FD_MAX (1 << 20) // no descriptor has a larger number
#define PASSED_MAX 65536 // descriptors that a caller can pass on

// Descriptors that a service manager passes on (sd_listen_fds(3)), if LISTEN_PID names this process.
int listen_fds(const struct request *q) {
  const char *fds = environment_variable(q, "LISTEN_FDS"), *pid = environment_variable(q, "LISTEN_PID");
  int64_t count, meant;
  if (!fds || !pid || parse_number(fds, &count) || parse_number(pid, &meant) || meant != sys0(SYS_getpid)) return 0;
  return count < 0 || count > PASSED_MAX ? 0 : (int)count;
}

// Those and the ones of --preserve-fds. An invalid number counts as 0.
static int preserved_fds(const struct request *q) {
  int64_t count = 0, listen = q->verb == VERB_EXEC ? 0 : listen_fds(q);
  const char *given = q->flags[FLAG_PRESERVE_FDS];
  if (given && (parse_number(given, &count) || count < 0 || count > PASSED_MAX)) count = 0; // Python reports it
  return (int)(listen + count);
}

void close_on_exec(int fd, int yes) {
  if (fd >= 0) sys_fcntl(fd, F_SETFD, yes ? FD_CLOEXEC : 0);
}

void keep_for_program(const struct request *q) {
  int end = FIRST + preserved_fds(q);
  for (int fd = FIRST; fd < end; fd++)
    close_on_exec(fd, 1);
}

void close_holes_on_exec(const int *holes) {
  for (; holes && *holes; holes++)
    close_on_exec(*holes, 1);
}

int status_descriptor(const struct request *q) {
  const char *text = q->flags[FLAG_STATUS_FD];
  int first = FIRST + preserved_fds(q);
  int64_t fd;
  if (!text) return -1;
  if (parse_number(text, &fd) || fd < first || fd > FD_MAX || sys_fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
    fail("--status-fd: found %s, expected an open descriptor after those that the process gets, from %d on", text,
        first);
  return (int)fd;
}

int config_descriptor(const struct request *q) {
  static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
  const char *path = q->flags[FLAG_CONFIG];
  int64_t fd;
  for (unsigned i = 0; path && i < COUNT(folders); i++) {
    size_t size = strlen(folders[i]);
    if (strncmp(path, folders[i], size) || parse_number(path + size, &fd)) continue;
    return fd < FIRST + preserved_fds(q) || fd > FD_MAX ? -1 : (int)fd;
  }
  return -1;
}

// Opens a stand-in for every descriptor that the caller could have passed on but has not. q->holes lists them.
static void fill_holes(struct request *q, int end) {
  int hole = -1, count = 0;
  for (int fd = FIRST; fd < end; fd++) {
    if (sys_fcntl(fd, F_GETFD, 0) >= 0) continue;
    if (hole < 0) {
      q->holes = arena_need(times((size_t)(end - fd) + 1, sizeof *q->holes), "the numbers of descriptors");
      hole = sys_memfd("unused", MFD_NOEXEC_SEAL);
      if (hole < 0) fail("memfd_create: %e", hole);
    }
    // dup3 fails beyond RLIMIT_NOFILE, where the runtime cannot get a descriptor either.
    if (hole != fd && sys_dup3(hole, fd, O_CLOEXEC) < 0) break;
    q->holes[count++] = fd;
  }
  if (hole >= end) sys_close(hole);
}

void separate_descriptors(struct request *q, int config) {
  int end = FIRST + preserved_fds(q);
  fill_holes(q, end);
  int error = sys_close_range((unsigned)end, ~0u, CLOSE_RANGE_CLOEXEC);
  if (error) fail("close_range: %e", error);
  close_on_exec(logging.reader, 0);
  close_on_exec(config, 0);
}
