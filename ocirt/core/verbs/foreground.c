// Foreground `run` and `exec`, and `create --status-fd`: one poll(2) loop in which nothing blocks, so that a side that
// does not read delays nobody. The runtime forwards signals to the container, copies between the container's terminal
// and its own, passes the container's readiness on to the service manager, writes lines to the reader of --status-fd,
// and reaps orphans.
#include "verbs/foreground.h"

#include <string.h>
#include <sys/signalfd.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "base/log.h"
#include "base/trace.h"
#include "base/signals.h"
#include "base/terminal.h"
#include "base/wait.h"
#include "process/notify.h"
#include "state/facts.h"
#include "state/status_fd.h"
#include "verbs/start.h"

// For so long the container's last output waits for a reader, after the container's end.
#define LAST_OUTPUT_SECONDS 10

// The runtime types the end of its input at the container's terminal again and again. The first pause between two is
// the shorter of these, and each is twice as long as the one before, up to the longer.
#define FIRST_END_MILLISECONDS 32
#define LAST_END_MILLISECONDS 1024

#define END_OF_TRANSMISSION 4 // Ctrl-D

// Bytes on their way from one descriptor to another, -1: none or closed.
struct flow {
  int from, to;
  size_t first, last;
  char data[16384];
};

struct foreground {
  struct foreground_process *about;
  int master; // -1: hung up, or the runtime has made no terminal
  struct readiness ready;
  struct termios before; // of our terminal, if it is raw
  int raw;
  int shared; // a bit for each of descriptors 0, 1 and the reader whose shared description got O_NONBLOCK
  int64_t type_end, interval; // when the runtime types the end of its input next
  int open_line; // the last input does not end a line
  int64_t give_up; // after the end of the container, 0: before it
  int status_of_end; // a wait status
  struct flow input, output, status; // at the end: zeroing them for the next container would copy their pages
};

static void make_raw(struct foreground *f) {
  if (sys_ioctl(0, TCGETS, &f->before) < 0) return;
  struct termios settings = f->before;
  settings.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  if (is_terminal(1)) settings.c_oflag &= ~(tcflag_t)OPOST;
  settings.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  settings.c_cflag = (settings.c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
  f->raw = sys_ioctl(0, TCSETS, &settings) == 0;
}

// ---- descriptors that do not block ----

// O_NONBLOCK belongs to the open file description, which the runtime's standard streams share with the shell and all
// that the shell has started. So the runtime opens a terminal or a pipe once more, through its magic link. If it cannot
// (a socket, another user's terminal, no /proc), it sets the flag on the shared description until it ends. A file never
// blocks, and a second description of it would begin at its first byte; a second description of a pseudo terminal's
// master would be another terminal.
static int nonblocking(struct foreground *f, int bit, int fd, int access) {
  struct stat st;
  unsigned number;
  BUFFER(link, 32);
  int flags = sys_fcntl(fd, F_GETFL, 0);
  if (flags < 0 || flags & O_NONBLOCK || sys_fstat(fd, &st) < 0 || S_ISREG(st.st_mode)) return fd;
  int is_slave = is_terminal(fd) && sys_ioctl(fd, TIOCGPTN, &number) < 0;
  format(&link, "/proc/self/fd/%d", fd);
  int own = S_ISFIFO(st.st_mode) || is_slave ? sys_open(AT_FDCWD, link.data, access | O_NONBLOCK | O_NOCTTY, 0) : -1;
  if (own >= 0) return own;
  if (sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0) f->shared |= 1 << bit;
  return fd;
}

static void set_back(struct foreground *f) {
  const int fds[] = {0, 1, logging.reader};
  for (unsigned i = 0; i < COUNT(fds); i++)
    if (f->shared >> i & 1) sys_fcntl(fds[i], F_SETFL, sys_fcntl(fds[i], F_GETFL, 0) & ~O_NONBLOCK);
  if (f->raw) sys_ioctl(0, TCSETS, &f->before);
}

// ---- flows ----

static int has_room(const struct flow *f) { return f->from >= 0 && f->last < sizeof f->data; }

static int has_data(const struct flow *f) { return f->to >= 0 && f->first < f->last; }

// Reads as much as fits: 0 at the end of the input.
static int fill(struct flow *f) {
  long n = sys_read(f->from, f->data + f->last, sizeof f->data - f->last);
  if (n > 0) f->last += (size_t)n;
  return n > 0 || n == -EAGAIN || n == -EINTR;
}

// Writes as much as the reader takes: 1, 0 if that is nothing, or -1 if there is no reader any more.
static int drain(struct flow *f) {
  long n = sys_write(f->to, f->data + f->first, f->last - f->first);
  if (n > 0) f->first += (size_t)n;
  if (f->first == f->last) f->first = f->last = 0;
  if (n < 0 && n != -EAGAIN && n != -EINTR) {
    f->to = -1;
    return -1;
  }
  return n > 0;
}

// Types the end of the input, as somebody at a keyboard does. After an unfinished line the first end-of-file character
// only submits that line, and a shell that edits lines by itself wants the line ended first. Such a shell also loses an
// end that is typed before it switches its terminal to single characters. So the runtime types the end again and again,
// until the container ends.
static void type_end(struct foreground *f) {
  struct termios settings;
  struct flow *in = &f->input;
  if (in->first == in->last) {
    int by_line = sys_ioctl(f->master, TCGETS, &settings) == 0 && settings.c_lflag & ICANON;
    in->data[in->last++] = by_line ? (char)settings.c_cc[VEOF] : f->open_line ? '\n' : END_OF_TRANSMISSION;
    if (!by_line) f->open_line = 0;
  }
  f->interval = f->interval ? f->interval * 2 : FIRST_END_MILLISECONDS;
  if (f->interval > LAST_END_MILLISECONDS) f->interval = LAST_END_MILLISECONDS;
  f->type_end = milliseconds() + f->interval;
}

// Nobody reads the runtime's output any more: hangs the container's terminal up, as closing a terminal's window does.
static void hang_up(struct foreground *f) {
  sys_close(f->master);
  f->master = f->input.from = f->input.to = f->output.from = f->output.to = -1;
}

// ---- the loop ----

// Reaps the children that have ended, except the process: orphans of the container, and the Python that has compiled.
static void reap_others(const struct foreground_process *a) {
  siginfo_t dead = {0};
  while (
      sys5(SYS_waitid, P_ALL, 0, &dead, WEXITED | WNOHANG | WNOWAIT, 0) == 0 && dead.si_pid && dead.si_pid != a->pid) {
    sys4(SYS_wait4, dead.si_pid, 0, 0, 0);
    dead.si_pid = 0;
  }
}

// Forwards the signals that arrived, except those that concern the runtime itself. After the container's end a signal
// that ends a process ends the wait for the last output.
static void take_signals(struct foreground *f) {
  const struct foreground_process *a = f->about;
  struct signalfd_siginfo info;
  while (sys_read(a->signals, &info, sizeof info) == sizeof info) {
    int number = (int)info.ssi_signo;
    if (number == SIGCHLD)
      reap_others(a);
    else if (number == SIGWINCH && f->master >= 0)
      copy_window(f->master);
    else if (f->give_up && BIT(number) & ENDING)
      f->give_up = 1;
    else if (number != SIGPIPE && number != SIGURG)
      sys_pidfd_signal(a->pidfd, number);
  }
}

static void tell_process(struct foreground *f) {
  struct buffer line = {f->status.data, sizeof f->status.data, f->status.last, 0};
  put_begin(&line, f->about->pid, f->about->start_time, f->about->renews);
  f->status.last = line.used;
}

// Starts the container as `start` does, which would be one process more. Reports the failure, or once more the process.
static void take_start(struct foreground *f) {
  STATIC_BUFFER(text, LOG_LINE);
  if (start_by_message(f->about->container, logging.reader, release(&f->about->peer), &text))
    log_line("error", text.data);
  else
    tell_process(f);
}

static void take_end(struct foreground *f) {
  struct buffer line = {f->status.data, sizeof f->status.data, f->status.last, 0};
  f->give_up = milliseconds() + LAST_OUTPUT_SECONDS * 1000L;
  f->input.from = f->input.to = f->ready.fd = -1;
  f->ready.until = 0;
  struct rusage usage = {0};
  if (wait_usage(f->about->pidfd, &f->status_of_end, &usage) < 0) f->status_of_end = 255 << 8;
  struct journal *journal = f->about->container->journal;
  uint32_t end = END_KNOWN | (uint32_t)f->status_of_end, signal = (uint32_t)f->status_of_end & 0x7f;
  if (signal && signal == journal->sent) end |= END_SENT;
  if (f->about->pid == journal->pid) journal->end = end; // an exec maps it read-only
  if (logging.reader >= 0) put_end(&line, f->about->container, f->status_of_end, &usage);
  f->status.last = line.used;
}

static int wait_time(const struct foreground *f) {
  // The container's last output is still in its terminal: the loop reads until the terminal has no more.
  if (f->give_up && has_room(&f->output)) return 0;
  int64_t type_end = f->input.from < 0 && f->input.to >= 0 ? f->type_end : 0;
  const int64_t times[] = {type_end, f->ready.until, f->give_up};
  int64_t first = 0, now = milliseconds();
  for (unsigned i = 0; i < COUNT(times); i++)
    if (times[i] && (!first || times[i] < first)) first = times[i];
  return !first ? -1 : first < now ? 0 : (int)(first - now);
}

// Calls poll(2) once and does what it tells of: 1, 0 if there is nothing more to wait for, or -1 if the reader of
// --status-fd has gone.
static int turn(struct foreground *f) {
  enum { ARRIVED, END, INPUT, TYPED, PRINTED, OUTPUT, STATUS, NOTIFY };
  const struct foreground_process *a = f->about;
  struct flow *in = &f->input, *out = &f->output, *status = &f->status;
  struct pollfd fds[] = {
      [ARRIVED] = {a->signals, POLLIN, 0},
      [END] = {f->give_up ? -1 : a->pidfd, POLLIN, 0},
      [INPUT] = {has_room(in) ? in->from : -1, POLLIN, 0},
      [TYPED] = {has_data(in) ? in->to : -1, POLLOUT, 0},
      [PRINTED] = {has_room(out) ? out->from : -1, POLLIN, 0},
      [OUTPUT] = {has_data(out) ? out->to : -1, POLLOUT, 0},
      [STATUS] = {status->to, (short)((has_data(status) ? POLLOUT : 0) | (a->peer > 0 ? POLLIN : 0)), 0},
      [NOTIFY] = {f->ready.fd, f->ready.events, 0},
  };
  long n = sys_ppoll(fds, COUNT(fds), wait_time(f));
  if (n < 0) return n == -EINTR;
  int64_t now = milliseconds();
  if (fds[PRINTED].revents ? !fill(out) : f->give_up && has_room(out)) out->from = -1; // EIO, or all is read
  if (fds[ARRIVED].revents) take_signals(f);
  if (fds[INPUT].revents && !fill(in))
    in->from = -1;
  else if (fds[INPUT].revents && has_data(in))
    f->open_line = in->data[in->last - 1] != '\n';
  if (in->from < 0 && in->to >= 0 && now >= f->type_end) type_end(f);
  // If nobody has the container's terminal open any more, input would wait for ever.
  if (fds[TYPED].revents & POLLHUP || (has_data(in) && drain(in) < 0)) in->from = in->to = -1;
  int taken = has_data(out) ? drain(out) : 0;
  if (taken < 0) hang_up(f);
  if (has_data(status) && drain(status) > 0) taken = 1;
  if (taken > 0 && f->give_up > 1) f->give_up = now + LAST_OUTPUT_SECONDS * 1000L;
  int late = f->ready.until && now >= f->ready.until;
  if ((fds[NOTIFY].revents || late) && readiness_go_on(&f->ready, a->container, late) < 0)
    log_line("warning", "NOTIFY_SOCKET: the container's READY=1 cannot be passed on");
  if (fds[END].revents) take_end(f);
  if (fds[STATUS].revents & POLLIN && !(fds[STATUS].revents & POLLHUP)) take_start(f);
  if (fds[STATUS].revents & (POLLERR | POLLHUP | POLLNVAL)) {
    if (!f->give_up) return -1;
    status->to = -1;
  }
  return !f->give_up || (now < f->give_up && (out->from >= 0 || has_data(out) || has_data(status)));
}

int run_in_foreground(struct foreground_process *a) {
  static COLD_BSS struct foreground f;
  TRACED("wait", "until the process ends", "");
  memset(&f, 0, offsetof(struct foreground, input));
  f.about = a;
  f.master = a->master;
  f.input.from = f.input.to = f.output.from = f.output.to = f.status.from = f.status.to = -1;
  readiness_begin(&f.ready, a->container);
  if (a->master >= 0) {
    make_raw(&f);
    sys_fcntl(a->master, F_SETFL, O_RDWR | O_NONBLOCK); // init has closed its copy, so nobody shares it
    f.input.from = nonblocking(&f, 0, 0, O_RDONLY);
    f.output.to = nonblocking(&f, 1, 1, O_WRONLY);
    f.input.to = f.output.from = a->master;
  }
  if (logging.reader >= 0) {
    tell_process(&f);
    f.status.to = nonblocking(&f, 2, logging.reader, O_WRONLY);
  }
  int going;
  while ((going = turn(&f)) > 0)
    ;
  set_back(&f);
  note_throttling(&a->container->program);
  // The runtime does not wait for the process: a frozen one ends only after it is thawed.
  if (going < 0) {
    sys_pidfd_signal(a->pidfd, SIGKILL);
    return -1;
  }
  if (has_data(&f.output) && sys_poll(logging.reader >= 0 ? logging.reader : 2, POLLOUT, 0) == 1)
    log_line("warning", "standard output: nobody has read the container's last output, which is lost");
  return f.status_of_end & 0x7f ? 128 + (f.status_of_end & 0x7f) : f.status_of_end >> 8;
}
