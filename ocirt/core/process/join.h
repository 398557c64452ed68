// Has the container that an exec joins ended?
#pragma once
#include "base/sys.h"
#include "state/container.h"

int has_ended(const struct container *c);
