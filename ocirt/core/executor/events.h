// Events between the runtime and its children.
#pragma once
#include "base/sys.h"
#include "executor/run.h"

void prepare_ready(struct run *r); // of init: before it says that it is ready
