// Reads the documents that a program is compiled from, each once: what is compiled is what is kept, whatever happens to
// the file meanwhile.
#pragma once
#include "base/text.h"
#include "launch/request.h"

// The bytes of a file of the caller's. `what` begins an error; `only_regular`: the file is a bundle's.
struct span read_document(const char *what, const char *path, int only_regular);
struct span read_config(const struct request *q);
int sealed_memfd(struct span bytes); // a copy for Python
struct span map_document(int fd); // what Python hands back

// A file of the state directory; without text: it is missing, empty, or larger than any that create writes.
struct span map_stored(int dir, const char *name);
