// The protocol between `start` and a waiting init. FROZEN: they may be of different builds.
#pragma once
#include "base/sys.h"

#define START_VERSION 1

// `start` sends one request; if it is recorded, with the descriptor of its record (base/trace.h). `told`: 1 if init is
// to tell what it does (--debug), and twice the block of the record. An init without either ignores both. Init answers
// with a MESSAGE_FAILURE and ends, or closes by executing the program.
struct start_request {
  uint32_t version, told;
};

// For a late container `start` then sends this (and so does a library to `create --status-fd`, over its socket), with
// the standard streams and a memfd of texts, a NUL behind each: the directory (empty: that of config.json), `words`
// words of the command, and further variables.
struct late_values {
  uint32_t words, reserved;
};
enum { LATE_TEXTS = 3, LATE_DESCRIPTORS }; // the descriptors: standard streams by their numbers, then the memfd
