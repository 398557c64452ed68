// tmpcopyup: the content of a directory copied into a new file system.
#pragma once

// Copies what is in the directory `from` into the root of the mount `to`: 0 or negative errno. The permissions of that
// root stay: the option mode, or the directory that the mount covers, decides them.
int copy_tree(int from, int to);
