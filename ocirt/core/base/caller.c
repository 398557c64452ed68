// Sets the process up before anything else, because the runtime trusts nothing that its caller has left: descriptors,
// signals, umask, limits. `caller` keeps what the programs that the runtime executes get back.
#include "base/caller.h"

#include <signal.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/signals.h"

struct caller caller;

// If a standard stream were closed, the next file that the runtime opens would take its number, and what is printed
// would go there. If /dev/null is missing, a pipe without a writer stands in: a read finds the end, a write fails.
static void open_standard_streams(void) {
  for (int fd = 0, ends[2]; fd < 3; fd++) {
    if (sys_fcntl(fd, F_SETFD, 0) >= 0) continue;
    int error = (int)sys4(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (error < 0 && !(error = (int)sys2(SYS_pipe2, ends, 0))) sys_close(ends[1]);
    if (error < 0)
      fail("descriptor %d is closed, and nothing can be opened instead: /dev/null, then pipe2: %e", fd, error);
  }
}

static void raise_open_files(void) {
  if (sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, &caller.files) < 0) return;
  struct limit raised = {caller.files.hard, caller.files.hard};
  if (caller.files.soft < raised.soft) sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, &raised, 0);
}

void set_up_process(char **environment) {
  open_standard_streams();
  // If SIGCHLD were ignored, the runtime could not wait for its children. With SIGPIPE and SIGXFSZ ignored, a write
  // into a pipe without a reader, or beyond RLIMIT_FSIZE, fails with an error instead of ending the process.
  set_signals(BIT(SIGCHLD), SIG_DFL);
  set_signals(BIT(SIGPIPE) | BIT(SIGXFSZ), SIG_IGN);
  unblock_signals();
  sys1(SYS_umask, 022);
  raise_open_files();
  caller.environment = environment;
}

int restore_open_files(void) { return (int)sys4(SYS_prlimit64, 0, RLIMIT_NOFILE, &caller.files, 0); }
