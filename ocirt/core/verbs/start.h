// Starting a created container: the runtime asks the waiting init, and waits for what comes of it.
#pragma once
#include "base/text.h"
#include "executor/start_protocol.h"
#include "launch/request.h"
#include "state/container.h"

// A hook has failed, and the container has been destroyed because of it.
#define START_DESTROYED -2

// What a late container gets: the second message of the protocol. If its memfd is -1, the container is not late.
struct late {
  struct late_values values;
  int fds[LATE_DESCRIPTORS];
};

int is_late(const struct container *c); // has create --late left open what the container runs?
struct late late_values(const struct container *c, const struct request *q); // fails if one has what the other lacks

// Starts the container: 0, -1 with the error's text, or START_DESTROYED with it. `late`: null for a container that is
// not late. `socket` leads to the waiting init and is used up; -1: start.sock leads there.
int start_container(struct container *c, const struct late *late, int socket, struct buffer *message);
// The same; `late` comes over the socket `from`.
int start_by_message(struct container *c, int from, int socket, struct buffer *message);
