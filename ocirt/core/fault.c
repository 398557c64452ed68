// Test builds only: OCIRT_FAULT=VERB:N:kill|stop|fail ends or stops the runtime after its N-th step, wherever that runs.
// OCIRT_FAULT_LOG=FILE gets one byte a step, so that a test knows how many there are.
#include "core.h"

#ifdef OCIRT_FAULT
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static uint32_t *steps;   // shared with the child: steps are counted over all processes
static int64_t at;
static int signal_to_send = 9, runtime = -1, counter = -1;

void fault_begin(const char *verb) {
  const char *text = getenv("OCIRT_FAULT"), *log = getenv("OCIRT_FAULT_LOG");
  size_t length = strlen(verb);
  if (log) counter = sys_open(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  steps = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  runtime = sys_pidfd_open((int)sys0(SYS_getpid));
  if (!text || strncmp(text, verb, length) || text[length] != ':') return;
  for (text += length + 1; *text >= '0' && *text <= '9'; text++) at = at * 10 + (*text - '0');
  if (!strcmp(text, ":stop")) signal_to_send = 19;
}

void fault_point(struct run *r) {
  (void)r;
  if (!steps) return;
  if (counter >= 0) sys_write(counter, ".", 1);
  if (__atomic_add_fetch(steps, 1, __ATOMIC_SEQ_CST) == at) sys_pidfd_signal(runtime, signal_to_send);
}
#endif
