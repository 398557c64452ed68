// The container's notify socket (notify.c).
#pragma once
#include "core.h"

// Reads one datagram and passes READY=1 on to the caller's NOTIFY_SOCKET: 1 when that is done, 0, or a negative errno.
int pass_readiness(struct container *c);
