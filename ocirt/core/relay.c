// Foreground `run` and `exec`: signals go to the container, its terminal to ours, and what is orphaned to us is reaped.
#include "core.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "notify.h"
#include "verbs.h"

struct window { unsigned short rows, columns, x, y; };

static struct termios before;
static int raw;

int relay_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, 0, 8);
  return (int)sys4(SYS_signalfd4, -1, &all, 8, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void make_raw(void) {
  if (sys_ioctl(0, TCGETS, &before) < 0) return;
  struct termios settings = before;
  settings.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  settings.c_oflag &= ~(tcflag_t)OPOST;
  settings.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  settings.c_cflag = (settings.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
  raw = sys_ioctl(0, TCSETS, &settings) == 0;
}

static void restore_terminal(void) {
  if (raw) sys_ioctl(0, TCSETS, &before);
}

void copy_window(int master) {
  struct window window;
  if (sys_ioctl(0, TIOCGWINSZ, &window) == 0) sys_ioctl(master, TIOCSWINSZ, &window);
}

// Reads once from one side and writes all of it to the other: 0 at the end.
static int pump(int from, int to) {
  char data[8192];
  long n = sys_read(from, data, sizeof data);
  if (n == -EINTR || n == -EAGAIN) return 1;
  if (n <= 0) return 0;  // EIO of a terminal's master: the last process has closed it
  return write_all(to, data, (size_t)n) == 0;
}

// Signals that arrived: forwarded, but for those that are about us. Children other than init are reaped.
static void take_signals(int signals, struct container *c, int pidfd, int master, int subreaper) {
  struct signalfd_siginfo info;
  while (sys_read(signals, &info, sizeof info) == sizeof info) {
    int number = (int)info.ssi_signo;
    if (number == SIGCHLD) {
      siginfo_t dead = {0};
      while (subreaper && sys5(SYS_waitid, P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT, 0) == 0 && dead.si_pid &&
             dead.si_pid != c->journal->pid) {
        sys4(SYS_wait4, dead.si_pid, 0, 0, 0);
        dead.si_pid = 0;
      }
    } else if (number == SIGWINCH && master >= 0) copy_window(master);
    else if (number != SIGPIPE && number != SIGURG) sys_pidfd_signal(pidfd, number);
  }
}

int relay(struct container *c, int pidfd, int signals, int master, int subreaper) {
  enum { SIGNALS, END, INPUT, OUTPUT, NOTIFY, READER };
  struct pollfd fds[] = {{signals, POLLIN, 0}, {pidfd, POLLIN, 0}, {master >= 0 ? 0 : -1, POLLIN, 0}, {master, POLLIN, 0},
                         {c->notify, POLLIN, 0}, {logging.reader, 0, 0}};
  if (master >= 0) make_raw();
  while (!(fds[END].revents & POLLIN)) {
    long n = sys3(SYS_poll, fds, COUNT(fds), -1);
    if (n < 0 && n != -EINTR) break;
    if (fds[SIGNALS].revents) take_signals(signals, c, pidfd, master, subreaper);
    if (fds[INPUT].revents && !pump(0, master)) {
      // Our input has ended: the container's terminal gets an end of file, as at a keyboard.
      fds[INPUT].fd = -1;
      write_all(master, "\4", 1);
    }
    if (fds[OUTPUT].revents && !pump(master, 1)) fds[OUTPUT].fd = -1;
    if (fds[NOTIFY].revents && pass_readiness(c)) fds[NOTIFY].fd = -1;  // said once, or nobody listens
    if (fds[READER].revents) {
      // Not waited for: a frozen process ends only when it is thawed.
      sys_pidfd_signal(pidfd, SIGKILL);
      restore_terminal();
      return -1;
    }
  }
  // What the container printed last is still in the terminal.
  while (fds[OUTPUT].fd >= 0 && sys_poll(master, POLLIN, 0) == 1 && pump(master, 1));
  restore_terminal();
  int status = 0;
  if (wait_exit(pidfd, &status) < 0) return 255;
  tell_end(status, oom_kills(&c->program));
  return status & 0x7f ? 128 + (status & 0x7f) : status >> 8;
}
