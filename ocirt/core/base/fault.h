// Test builds only: the runtime ends or stops after a chosen step.
#pragma once

#ifdef OCIRT_FAULT
void fault_point(void);
void fault_begin(const char *verb);
void fault_descriptors(int fds[3]);
#else
#define fault_point() ((void)0)
#define fault_begin(verb) ((void)0)
#define fault_descriptors(fds) ((void)(fds))
#endif
