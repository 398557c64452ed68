// Test builds only (tests/fault/fault.c): the runtime ends or stops after a chosen step.
#pragma once

#ifdef OCIRT_FAULT
#include "tests/fault/fault.h"
#else
#define fault_point() ((void)0)
#define fault_begin(verb) ((void)0)
#define fault_descriptors(fds) ((void)(fds))
#endif
