// What compiling asked of values: guards, which hold for one value alone, and tests, which hold for one answer.
#pragma once
#include "launch/reader.h"

int guard_holds(const struct scan *s, struct reader *r);
int test_holds(const struct scan *s, struct reader *r);
