// Messages between the runtime and its child.
#pragma once
#include "base/sys.h"
#include "steps.h"

enum message_kind { MESSAGE_EVENT = 1, MESSAGE_FAILURE, MESSAGE_CONSOLE, MESSAGE_LINE };

struct message {
  uint32_t kind, event;
  int32_t pid, error;
  uint32_t step; // offset into the step area
  char call[32], detail[5120];
};

// The least size of a message. `start` of an older build accepts no shorter one.
#define LEAST_MESSAGE (offsetof(struct message, detail) + 900)

// Receiving prints a MESSAGE_LINE, which --debug has a child send. A message travels with up to PASSED descriptors; one
// that was not received is -1.
int send_message(int socket, const struct message *message, const int *fds, unsigned count);
int receive_message(
    int socket, struct message *message, int *fds, unsigned count); // 1, 0 at the end, or negative errno
