// The protocol between `start` and a waiting init. FROZEN: they may be of different builds.
#pragma once
#include "base/sys.h"

#define START_VERSION 1

// `start` sends one request. Init answers with a MESSAGE_FAILURE and ends, or closes by executing the program.
struct start_request {
  uint32_t version, reserved;
};
