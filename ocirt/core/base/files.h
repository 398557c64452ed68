// Whole files and directories, read and written by raw system calls.
#pragma once
#include "base/sys.h"

int write_all(int fd, const char *data, size_t size); // 0 or negative errno
long read_file(int dir, const char *path, char *data, size_t size); // bytes read, NUL added; or negative errno
int is_null_device(int fd, struct stat *st); // fills st as fstat(2) does
long filesystem_of(int fd); // the magic number that statfs(2) gives, or negative errno
int list_directory(int fd, int (*each)(int dir, const char *name, unsigned char type, void *data), void *data);
