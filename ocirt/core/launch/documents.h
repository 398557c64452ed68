// Reads the documents that a program is compiled from, each only once: a file that changes meanwhile cannot make the
// stored document differ from the compiled one.
#pragma once
#include "base/text.h"
#include "launch/request.h"

// Reads a file of the caller. An error begins with `what`. `only_regular`: the file is part of a bundle.
struct span read_document(const char *what, const char *path, int only_regular);
struct span read_config(const struct request *q);
int sealed_memfd(struct span bytes); // a copy for Python
struct span map_document(int fd); // a document that Python hands back

// A file of the state directory; without text if it is missing, empty, or larger than any that create writes.
struct span map_stored(int dir, const char *name);
