// Whole files and directories, read and written by raw system calls.
#pragma once
#include "base/text.h"

int write_all(int fd, const char *data, size_t size); // 0 or negative errno
long read_all(int fd, char *data, size_t size); // bytes read, fewer only at the end of the file; or negative errno
struct span map_file(int fd, size_t most); // a file's bytes; null if it is empty or larger, or if there is no memory
long read_file(int dir, const char *path, char *data, size_t size); // bytes read, NUL added; or negative errno
int is_null_device(int fd, struct stat *st); // fills st as fstat(2) does
long filesystem_of(int fd); // the magic number that statfs(2) gives, or negative errno
enum user_field { USER_NAME = 0, USER_HOME = 5 };

// Appends a field of the first user in an open /etc/passwd who has this uid and has not left the field empty: 1, else
// 0.
int put_user(struct buffer *to, int passwd, int64_t uid, enum user_field which);
int list_directory(int fd, int (*each)(int dir, const char *name, unsigned char type, void *data), void *data);
