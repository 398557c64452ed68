// Makes the system calls of its arguments, NUMBER:ARGUMENT..., each printed with what it gives (negative: the error),
// or the reason of the SIGSYS that it raised. `thread` before one has a thread make it, and prints whether the thread
// lived.
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long arguments[7];
static sigjmp_buf back;
static int reason, thread_id, survived;

static void trapped(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)context;
  reason = info->si_errno;
  siglongjmp(back, 1);
}

static long call(void) {
  long *a = arguments, result = syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]);
  return result == -1 ? -errno : result;
}

static void *in_thread(void *data) {
  thread_id = (int)syscall(SYS_gettid);
  call();
  survived = 1;
  return data;
}

int main(int argc, char **argv) {
  struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, 0);
  for (int i = 1; i < argc; i++) {
    int in_a_thread = !strcmp(argv[i], "thread");
    char *at = argv[i += in_a_thread];
    memset(arguments, 0, sizeof arguments);
    for (int k = 0; k < 7 && *at; k++) {
      arguments[k] = (long)strtoull(at, &at, 0);
      if (*at == ':') at++;
    }
    if (in_a_thread) {
      pthread_t thread;
      pthread_create(&thread, 0, in_thread, 0);
      while (!thread_id || (!survived && syscall(SYS_tkill, thread_id, 0) == 0))
        usleep(1000);
      printf("thread %s\n", survived ? "lived" : "died");
    } else if (sigsetjmp(back, 1))
      printf("trap %d\n", reason);
    else
      printf("%ld\n", call());
    fflush(stdout);
  }
  return 0;
}
