// Adjusts the container's terminal to the caller's, for a foreground verb.
#pragma once

void connect_terminal(int master); // size and line ends; call before the program can ask for them

struct window {
  unsigned short rows, columns, x, y;
};

void copy_window(int master);
