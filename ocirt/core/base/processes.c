#include "base/processes.h"

#include <stdlib.h>
#include <string.h>
#include <linux/sched.h>

#include "base/log.h"
#include "base/wait.h"

int plain_id(const char *id) {
  size_t length = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-.");
  return length && length <= 255 && !id[length] && strcmp(id, ".") && strcmp(id, "..");
}

int read_start_time(int pid, uint64_t *start_time, char *letter) {
  BUFFER(path, 64);
  char text[1024];
  format(&path, "/proc/%d/stat", pid);
  CLOSING int fd = sys_open(AT_FDCWD, path.data, O_RDONLY, 0);
  long n = fd < 0 ? fd : sys_read(fd, text, sizeof text - 1); // procfs gives it all at once
  *start_time = 0;
  struct stat self;
  if (n == -ENOENT && sys_stat(AT_FDCWD, "/proc/self", &self, 0) < 0)
    fail("/proc: no procfs is mounted there: the runtime needs it to know which processes live");
  if (n <= 0) return n && n != -ENOENT ? (int)n : -ESRCH;
  text[n] = 0;
  // The name in parentheses may hold anything; the last parenthesis ends it. Field 22 is the 20th after it.
  const char *at = strrchr(text, ')');
  if (!at) return -EPROTO;
  if (letter) *letter = at[1] ? at[2] : 0;
  for (int field = 0; field < 20; field++) {
    at = strchr(at + 1, ' ');
    if (!at) return -EPROTO;
  }
  *start_time = strtoull(at + 1, 0, 10);
  return 0;
}

uint64_t start_time_of(int pid) {
  uint64_t start_time;
  int error = read_start_time(pid, &start_time, 0);
  // The caller must not take a living process for one that has ended.
  if (error && error != -ESRCH) fail("read /proc/%d/stat: %e", pid, error);
  return start_time;
}

int process_lives(int pid, uint64_t start_time) {
  uint64_t found;
  char letter = 'X';
  if (pid <= 0 || read_start_time(pid, &found, &letter) || found != start_time) return 0;
  if (letter != 'Z' && letter != 'X') return 1;
  // Its first thread has ended; the process may have others, which a pidfd knows.
  CLOSING int pidfd = sys_pidfd_open(pid);
  return pidfd >= 0 && !read_start_time(pid, &found, 0) && found == start_time && !is_readable(pidfd);
}

void put_process(struct buffer *to, int pid, const char *before) {
  static const struct {
    char letter;
    const char *words;
  } states[] = {{'D', "in uninterruptible sleep, or in a frozen cgroup"}, {'T', "stopped"}, {'t', "traced"},
      {'Z', "ended, but for its threads or its parent"}, {'R', "running"}, {'S', "sleeping"}};
  uint64_t start_time;
  char letter = 0;
  const char *words = "ended since then";
  if (!read_start_time(pid, &start_time, &letter)) words = "in an unknown state";
  for (unsigned i = 0; i < COUNT(states); i++)
    if (states[i].letter == letter) words = states[i].words;
  format(to, "%s%d (%s)", before, pid, words);
}

int start_thread(void *stack, size_t size, int *works, void (*run)(void *), void *data) {
  struct clone_args args = {
      .flags =
          CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | (works ? CLONE_CHILD_CLEARTID : 0),
      .child_tid = (uint64_t)(uintptr_t)works,
      .stack = (uint64_t)(uintptr_t)stack,
      .stack_size = size,
  };
  long result = clone_thread(&args, sizeof args, run, data);
  return result < 0 ? (int)result : 0;
}

void end_thread(void) {
  for (;;)
    sys1(SYS_exit, 0);
}
