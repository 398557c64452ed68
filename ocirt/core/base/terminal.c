#include "base/terminal.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "base/log.h"

void copy_window(int master) {
  struct window window;
  if (sys_ioctl(is_terminal(0) ? 0 : 1, TIOCGWINSZ, &window) == 0) sys_ioctl(master, TIOCSWINSZ, &window);
}

// If the caller has a terminal, too, only the container's terminal turns "\n" into "\r\n", and the caller's shows the
// bytes unchanged. So the output of a program that changes this setting is shown correctly. If the output goes to a
// file or a pipe, lines end as the program writes them.
void connect_terminal(int master) {
  struct termios settings;
  copy_window(master);
  if (!is_terminal(0) || !is_terminal(1) || sys_ioctl(master, TCGETS, &settings) < 0) return;
  settings.c_oflag |= ONLCR;
  sys_ioctl(master, TCSETS, &settings);
}
