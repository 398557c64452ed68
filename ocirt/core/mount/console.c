// The step that gives the container a terminal.

#include <sys/sysmacros.h>
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/magic.h>
#include <linux/major.h>

#include "base/files.h"
#include "base/terminal.h"
#include "executor/channel.h"
#include "executor/child.h"
#include "mount/mount.h"

#define PTMX_MINOR 2 // of the major number TTYAUX_MAJOR

// Opens a new terminal of the container. The runtime reaches it from the devpts of the rootfs alone, so that it cannot
// take a terminal of the host for the container's.
static int open_terminal(struct run *r, int *master, char *name, size_t size) {
  int number = 0, zero = 0;
  struct stat st;
  // A running container may have put anything there: O_NONBLOCK keeps a pipe from blocking the open.
  *master = resolve(r->rootfs, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (*master < 0) return failing(r, "open /dev/pts/ptmx", *master);
  if (sys_fstat(*master, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(TTYAUX_MAJOR, PTMX_MINOR) ||
      filesystem_of(*master) != DEVPTS_SUPER_MAGIC)
    return failing(r, "check /dev/pts/ptmx", -ENOTTY);
  sys_fcntl(*master, F_SETFL, O_RDWR);
  int error = sys_ioctl(*master, TIOCSPTLCK, &zero);
  if (!error) error = sys_ioctl(*master, TIOCGPTN, &number);
  if (error < 0) return failing(r, "TIOCGPTN", error);
  struct buffer path = {name, size, 0, 0};
  format(&path, "/dev/pts/%d", number);
  int terminal = sys_ioctl(*master, TIOCGPTPEER, (void *)(O_RDWR | O_NOCTTY | O_CLOEXEC));
  return terminal < 0 ? failing(r, "TIOCGPTPEER", terminal) : terminal;
}

// Binds the terminal at /dev/console.
static int bind_console(struct run *r, int terminal, const char *name) {
  struct stat ours, found;
  CLOSING int node = resolve(r->rootfs, name, O_PATH | O_NOFOLLOW);
  if (node < 0) return failing(r, "openat2", node);
  if (sys_fstat(terminal, &ours) < 0 || sys_fstat(node, &found) < 0 || ours.st_rdev != found.st_rdev ||
      ours.st_ino != found.st_ino)
    return failing(r, name, -ENODEV);
  int tree = sys_open_tree(node, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  return tree < 0 ? failing(r, "open_tree", tree) : place_mount(r, tree, "/dev/console", WAY_ORDINARY);
}

static int set_attributes(struct run *r, const struct step_make_console *s, int master, int terminal) {
  struct termios settings;
  struct window window = {(unsigned short)s->height, (unsigned short)s->width, 0, 0};
  int error = sys_ioctl(master, TCGETS, &settings);
  settings.c_oflag &= ~(tcflag_t)ONLCR;
  if (!error) error = sys_ioctl(master, TCSETS, &settings);
  if (!error && s->height | s->width) error = sys_ioctl(master, TIOCSWINSZ, &window);
  if (!error) error = (int)sys3(SYS_fchown, terminal, s->uid, -1);
  if (!error) error = (int)sys2(SYS_fchmod, terminal, 0620);
  return error < 0 ? failing(r, "set the terminal's attributes", error) : 0;
}

// Sends the master to --console-socket, or to the runtime if that stays in the foreground.
static int send_master(struct run *r, const struct step_make_console *s, int master, const char *name) {
  struct message message = {.kind = MESSAGE_CONSOLE};
  CLOSING int socket = NUMBER(fd) >= 0 ? release(&r->fds[s->fd]) : -1;
  if (socket >= 0) return send_to_peer(r, socket, name, master);
  return called(r, "sendmsg", send_message(r->peer, &message, &master, 1));
}

static int take_terminal(struct run *r, int terminal) {
  int error = 0;
  for (int fd = 0; fd < 3 && error >= 0; fd++)
    error = sys_dup3(terminal, fd, 0);
  if (error >= 0) error = sys_ioctl(0, TIOCSCTTY, 0);
  return error < 0 ? failing(r, "TIOCSCTTY", error) : 0;
}

int do_make_console(struct run *r, const struct step_make_console *s) {
  char name[32];
  CLOSING int master = -1;
  CLOSING int terminal = open_terminal(r, &master, name, sizeof name);
  if (terminal < 0) return terminal;
  int error = set_attributes(r, s, master, terminal);
  if (!error && s->device) error = bind_console(r, terminal, name);
  if (!error) error = send_master(r, s, master, name);
  if (!error) error = take_terminal(r, terminal);
  // One of the standard streams itself, if that was closed.
  if (terminal <= 2) release(&terminal);
  return error;
}
