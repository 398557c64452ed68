// Memory that a verb cannot do without: if it is short, the verb fails.
#pragma once
#include "base/memory.h"

void *arena_need(size_t size, const char *what); // as arena_alloc; `what` it is for
struct buffer arena_buffer(size_t capacity); // for `capacity` bytes and a NUL
