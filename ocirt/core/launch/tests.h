// Repeats what the compiler asked about values: a guard holds for one value, a test for one answer.
#pragma once
#include "launch/reader.h"

int guard_holds(const struct scan *s, struct reader *r);
int test_holds(const struct scan *s, struct reader *r);
