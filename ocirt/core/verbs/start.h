// Starting a created container: the runtime asks the waiting init, and waits for what comes of it.
#pragma once
#include "base/text.h"
#include "state/container.h"

// A hook has failed, and the container has been destroyed because of it.
#define START_DESTROYED -2

// Starts the container: 0, -1 with the error's text, or START_DESTROYED with it. `socket` leads to the waiting init and
// is used up; -1: start.sock leads there.
int start_container(struct container *c, int socket, struct buffer *message);
