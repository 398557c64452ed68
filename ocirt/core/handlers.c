// The handler of each step: the only place that knows all families of steps. The linker names one that is missing.

#include "executor/run.h"

int (*const handlers[])(struct run *, const struct step *) = {
#define X(name, code, size, sentence, kinds, ...) \
  (int (*)(struct run *, const struct step *))(void (*)(void)) do_##name,
    EACH_STEP(X)
#undef X
};
