// Freezes and thaws a container's cgroup, and checks whether one is frozen.

#include <poll.h>
#include <string.h>

#include "base/wait.h"
#include "cgroup/hierarchy.h"
#include "cgroup/tree.h"

#define FREEZE_SECONDS 10

int do_assert_thawed(struct run *r, const struct step_assert_thawed *s) {
  char text[4096];
  long size = read_cgroup(TEXT(hierarchy), TEXT(path), TEXT(file), text, sizeof text);
  if (size == -ENOENT) return 0;
  if (size < 0) return failing(r, "read", (int)size);
  for (char *rest = text, *line; (line = next_line(&rest));)
    if (!strcmp(line, TEXT(thawed))) return 0;
  return failing_because(r, "", -EBUSY, TEXT(refusal));
}

static int says(int fd, const char *value) {
  char text[256];
  long n = sys4(SYS_pread64, fd, text, sizeof text - 1, 0);
  if (n < 0) return (int)n;
  text[n] = 0;
  return strstr(text, value) != 0;
}

// Waits until the v2 cgroup's file, open as `fd`, says that all its processes are frozen: 1, 0 at the deadline, or a
// negative errno.
static int wait_frozen(int fd, int64_t deadline) {
  if (fd < 0) return fd;
  for (;;) {
    int frozen = says(fd, "frozen 1");
    int64_t left = deadline - milliseconds();
    if (frozen || left <= 0) return frozen;
    sys_poll(fd, POLLPRI, (int)left);
  }
}

// Freezes on cgroup v1: 1, 0 at the deadline, or a negative errno. The kernel freezes the processes that it finds, and
// does not report when it has found all. Another write finds those that were made meanwhile. If new ones keep
// appearing, an occasional thaw lets the kernel start again.
static int freeze(int fd, const char *value, const char *undo, int64_t deadline) {
  for (int tries = 1, frozen;; tries++) {
    if (tries % 100 == 0) {
      sys_write(fd, undo, strlen(undo));
      pause_for(10000);
    }
    long n = sys_write(fd, value, strlen(value));
    if (n < 0) return (int)n;
    if (tries % 20 == 0) pause_for(1000);
    if ((frozen = says(fd, value)) || milliseconds() >= deadline) return frozen;
  }
}

int do_freeze_cgroup(struct run *r, const struct step_freeze_cgroup *s) {
  CLOSING int dir = open_cgroup(r, TEXT(hierarchy), TEXT(path), O_RDONLY);
  CLOSING int fd = dir < 0 ? dir : sys_openat2(dir, TEXT(file), O_RDWR, BENEATH);
  if (fd < 0) return failing(r, "open", fd);
  int error = assert_no_strangers(r, TEXT(hierarchy), TEXT(path), dir);
  if (error) return error;
  int64_t deadline = milliseconds() + FREEZE_SECONDS * 1000L;
  int frozen = freeze(fd, TEXT(value), TEXT(undo), deadline);
  if (frozen > 0 && *TEXT(events)) {
    CLOSING int events = sys_openat2(dir, TEXT(events), O_RDONLY, BENEATH);
    frozen = wait_frozen(events, deadline);
  }
  if (frozen > 0) return 0;
  sys_write(fd, TEXT(undo), strlen(TEXT(undo)));
  if (!frozen) format(&r->detail, "not all processes have frozen for %d s", FREEZE_SECONDS);
  return failing(r, "freeze", frozen ? frozen : -ETIMEDOUT);
}
