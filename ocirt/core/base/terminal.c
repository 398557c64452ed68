// The terminal of a foreground verb, fitted to that of its caller.
#include "base/terminal.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "base/log.h"

void copy_window(int master) {
  struct window window;
  if (sys_ioctl(0, TIOCGWINSZ, &window) == 0) sys_ioctl(master, TIOCSWINSZ, &window);
}

// From a terminal to a terminal the container's alone makes "\r\n" of the end of a line, and ours shows what it gets: a
// program that has set its terminal otherwise is then shown rightly. Into a file or a pipe the container's lines end as
// they are written.
void connect_terminal(int master) {
  struct termios settings;
  copy_window(master);
  if (!is_terminal(0) || !is_terminal(1) || sys_ioctl(master, TCGETS, &settings) < 0) return;
  settings.c_oflag |= ONLCR;
  sys_ioctl(master, TCSETS, &settings);
}
