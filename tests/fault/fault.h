// What the test build of the core calls: ocirt/core/base/fault.h.
#pragma once

void fault_point(void);
void fault_begin(const char *verb);
void fault_descriptors(int fds[3]);
