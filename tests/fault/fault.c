// Is built into the core for tests alone: OCIRT_FAULT=VERB:N:kill|stop ends or stops the runtime after its N-th step,
// wherever that runs. OCIRT_FAULT_LOG=FILE gets one byte a step, so that a test knows how many there are.
#include "tests/fault/fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <linux/sched.h>

#include "base/log.h"

static uint32_t *steps; // shared with the child: steps are counted over all processes
static int64_t at;
static int counter = -1, ask[2], answer[2];

// init is in another pid namespace and cannot signal the runtime: a process beside the runtime does it when asked.
static void make_helper(int signal) {
  int runtime = sys_pidfd_open((int)sys0(SYS_getpid));
  if (sys2(SYS_pipe2, ask, O_CLOEXEC) < 0 || sys2(SYS_pipe2, answer, O_CLOEXEC) < 0) fail("pipe2");
  struct clone_args args = {0};
  if (sys2(SYS_clone3, &args, sizeof args) != 0) {
    sys_close(runtime);
    return;
  }
  // It must hold neither the runtime's lock nor the pipe that tells it of the end of all who may ask.
  int keep[] = {ask[0], answer[1], runtime};
  for (int fd = 0; fd < 1024; fd++)
    if (fd != keep[0] && fd != keep[1] && fd != keep[2]) sys_close(fd);
  char byte;
  if (sys_read(ask[0], &byte, 1) == 1) {
    sys_pidfd_signal(runtime, signal);
    sys_write(answer[1], &byte, 1);
  }
  sys_exit(0);
}

void fault_begin(const char *verb) {
  const char *text = getenv("OCIRT_FAULT"), *log = getenv("OCIRT_FAULT_LOG");
  size_t length = strlen(verb);
  if (log) counter = sys_open(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  steps = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!text || strncmp(text, verb, length) || text[length] != ':') return;
  for (text += length + 1; *text >= '0' && *text <= '9'; text++)
    at = at * 10 + (*text - '0');
  make_helper(!strcmp(text, ":stop") ? SIGSTOP : SIGKILL);
}

void fault_descriptors(int fds[3]) {
  fds[0] = counter;
  fds[1] = ask[1];
  fds[2] = answer[0];
}

void fault_point(void) {
  char byte = '.';
  if (!steps) return;
  if (counter >= 0) sys_write(counter, &byte, 1);
  if (__atomic_add_fetch(steps, 1, __ATOMIC_SEQ_CST) == at && sys_write(ask[1], &byte, 1) == 1)
    sys_read(answer[0], &byte, 1);
}
