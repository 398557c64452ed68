// The terminal of a foreground verb, fitted to its caller's.
#pragma once
#include "base/sys.h"

void connect_terminal(int master); // makes the container's terminal fit to ours, before its program can ask

struct window {
  unsigned short rows, columns, x, y;
};

void copy_window(int master);
