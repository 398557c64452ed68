// starter N COMMANDS ERRORS   runs lists of commands, each list in its order, N lists at a time, and prints the microseconds that
// all of it took. Not in Python, because the starter itself would use processor time.
//   COMMANDS: words that end in NUL; an empty word ends a command, one more ends a list. ERRORS gets their standard error.
//   Ends at the first that fails, and prints "list command status" (as in wait(2)) instead; exit status 1.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

struct running { pid_t pid; int list, command; char *next; };

static posix_spawn_file_actions_t streams;

static void die(const char *what, int error) {
  fprintf(stderr, "starter: %s: %s\n", what, strerror(error));
  exit(2);
}

// Starts the command at `at`; returns the position after it.
static char *start(char *at, pid_t *pid) {
  static char *words[1024];
  int count = 0;
  for (; *at && count < 1023; at += strlen(at) + 1) words[count++] = at;
  words[count] = 0;
  int error = count ? posix_spawn(pid, words[0], &streams, 0, words, environ) : EINVAL;
  if (error) die(count ? words[0] : "no command", error);
  return at + 1;
}

int main(int argc, char **argv) {
  if (argc != 4) { fputs("usage: starter N COMMANDS ERRORS\n", stderr); return 2; }
  int at_once = atoi(argv[1]), fd = open(argv[2], O_RDONLY | O_CLOEXEC), lists = 0, busy = 0;
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) die(argv[2], errno);
  char *at = mmap(0, (size_t)st.st_size + 1, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0), *end = at + st.st_size;
  struct running *running = calloc((size_t)at_once, sizeof *running);
  if (at == MAP_FAILED || !running) die(argv[2], errno);
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_addopen(&streams, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&streams, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&streams, 2, argv[3], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  struct timespec begin, now;
  clock_gettime(CLOCK_MONOTONIC, &begin);
  while (at < end || busy) {
    for (int i = 0; i < at_once && at < end; i++) {
      if (running[i].pid) continue;
      running[i] = (struct running){.list = lists++};
      running[i].next = start(at, &running[i].pid);
      busy++;
      // To the list's end, where the next begins.
      for (at = running[i].next; *at; at++) while (*at) at += strlen(at) + 1;
      at++;
    }
    int status;
    pid_t pid = wait(&status);
    if (pid < 0) die("wait", errno);
    struct running *one = running;
    while (one->pid != pid) one++;
    if (status) { printf("%d %d %d\n", one->list, one->command, status); return 1; }
    if (*one->next) { one->command++; one->next = start(one->next, &one->pid); } else { one->pid = 0; busy--; }
  }
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("%lld\n", (now.tv_sec - begin.tv_sec) * 1000000LL + (now.tv_nsec - begin.tv_nsec) / 1000);
  return 0;
}
