#pragma once
#include "base/sys.h"

int copy_tree(int from, int to); // tmpcopyup
