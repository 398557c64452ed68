// Events between the runtime and its children.
#pragma once
#include "executor/run.h"

void prepare_ready(struct run *r); // init calls it before it sends `ready`

// An event, and the registers of the descriptors that travel with it, of which the last one may be missing if
// `optional`.
struct occurrence {
  uint64_t event, first, count, optional;
};

int send_event(struct run *r, const struct occurrence *s); // closes the registers
int receive_event(struct run *r, const struct occurrence *s); // waits for the other side, and fills the registers
