#pragma once
#include "base/sys.h"
#include "base/text.h"
#include <sys/auxv.h>

// Zeroed memory, null where there is none. A little comes with the executable, without a mapping of its own. What was
// taken last can be given back. A buffer of so many bytes besides its NUL: without memory for it the process ends.
void *more_memory(size_t size);
void less_memory(const struct buffer *last);

// 4 KiB on x86_64; 16 or 64 KiB with some kernels of aarch64.
static inline uintptr_t page_size(void) {
  return getauxval(AT_PAGESZ);
}
