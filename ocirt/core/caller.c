// What this process was started with. The runtime trusts none of it and sets its own process up first of all. What the
// programs that it starts are to have as the caller had it is kept apart, in `caller`.
#include "core.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

struct caller caller;

#define PYTHON_NEEDS (16 << 20) // bytes of memory; with less its start may end in a signal
#define MOST_CPUS 8192 // that a kernel can be built for
#define BIT(signal) (1ull << ((signal) - 1))
// Python is started with the limit raised, and starts this executable again: by this variable the caller's own comes
// along.
#define OPEN_FILES "OCIRT_CALLER_NOFILE="

// A standard stream that is closed would become the next file that the runtime opens, and get what is printed. Where
// there is no /dev/null it becomes a pipe without a writer: a read finds the end, a write fails.
static void open_standard_streams(void) {
  for (int fd = 0, ends[2]; fd < 3; fd++) {
    if (sys_fcntl(fd, F_SETFD, 0) >= 0) continue;
    int error = (int)sys4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (error < 0 && !(error = (int)sys2(SYS_pipe2, ends, 0))) sys_close(ends[1]);
    if (error < 0)
      fail("descriptor %d is closed, and nothing can be opened in its place: /dev/null, then pipe2: %e", fd, error);
  }
}

// Takes the variable out of the environment: 1 if it was there.
static int take_open_files(char **environment, int64_t *files) {
  int found = 0;
  for (; *environment; environment++) {
    if (!found && !strncmp(*environment, OPEN_FILES, strlen(OPEN_FILES)))
      found = !parse_number(*environment + strlen(OPEN_FILES), files);
    if (found) environment[0] = environment[1];
    if (found && !*environment) break;
  }
  return found;
}

static void raise_open_files(char **environment) {
  int64_t files;
  if (sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &caller.files) < 0) return;
  struct limit raised = {caller.files.hard, caller.files.hard};
  if (caller.files.soft < raised.soft) sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, &raised, 0);
  if (take_open_files(environment, &files) && (uint64_t)files <= raised.hard) caller.files.soft = (uint64_t)files;
}

void set_up_process(char **environment) {
  uint64_t none = 0;
  open_standard_streams();
  // With SIGCHLD ignored no child could be waited for. A write into a pipe without a reader, or beyond RLIMIT_FSIZE, is
  // an error.
  set_signals(BIT(SIGCHLD), SIG_DFL);
  set_signals(BIT(SIGPIPE) | BIT(SIGXFSZ), SIG_IGN);
  sys4(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
  sys1(SYS_umask, 022);
  raise_open_files(environment);
  caller.environment = environment;
}

int restore_open_files(void) {
  return (int)sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, &caller.files, 0);
}

void need_memory_for_python(void) {
  static const struct {
    const char *name;
    int resource;
  } limits[] = {{"RLIMIT_DATA", RLIMIT_DATA}, {"RLIMIT_AS", RLIMIT_AS}};
  struct limit limit;
  for (unsigned i = 0; i < COUNT(limits); i++)
    if (!sys4(SYS_prlimit64, 0, limits[i].resource, 0, &limit) && limit.soft < PYTHON_NEEDS)
      fail("%s: found %l bytes, expected %l or more: Python compiles what the runtime has not kept, and needs them",
          limits[i].name, (int64_t)limit.soft, (int64_t)PYTHON_NEEDS);
}

// Of a compiled module CPython keeps what RLIMIT_FSIZE lets it write, and cannot load it from then on: with a limit it
// keeps none.
const char *isolated_python(void) {
  struct limit limit;
  return !sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) && limit.soft != RLIM_INFINITY ? "-IB" : "-I";
}

char **environment_for_python(void) {
  static char variable[48];
  struct buffer text = {variable, sizeof variable, 0, 0};
  size_t count = 0;
  while (caller.environment[count])
    count++;
  char **all = more_memory((count + 2) * sizeof *all);
  if (!all) fail("no memory for the environment");
  memcpy(all, caller.environment, count * sizeof *all);
  format(&text, OPEN_FILES "%l", (int64_t)caller.files.soft);
  all[count] = variable;
  return all;
}

int do_reset_affinity(struct run *r, const struct step_reset_affinity *s) {
  uint8_t all[MOST_CPUS / 8];
  (void)r;
  (void)s;
  memset(all, 0xff, sizeof all);
  // Where a policy forbids it the caller's affinity stays, which takes nothing from anybody.
  sys3(SYS_sched_setaffinity, 0, sizeof all, all);
  return 0;
}

int do_restore_open_files(struct run *r, const struct step_restore_open_files *s) {
  (void)s;
  int error = restore_open_files();
  return error < 0 ? failing(r, "prlimit", error) : 0;
}
