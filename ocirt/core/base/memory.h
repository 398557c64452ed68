// Memory without malloc, which must not be called after clone3.
#pragma once
#include "base/text.h"
#include <sys/auxv.h>

// Zeroed memory, or null: from a static arena of 256 KiB, then from mmap. Only the most recent allocation can be freed.
void *arena_alloc(size_t size);
void arena_pop(const struct buffer *last);

// 4 KiB on x86_64; 16 or 64 KiB with some kernels of aarch64.
static inline uintptr_t page_size(void) { return getauxval(AT_PAGESZ); }
