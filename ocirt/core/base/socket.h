// Unix sockets, and descriptors that are sent over them.
#pragma once
#include "base/sys.h"

// A unix socket, connected to or bound (`call`: SYS_connect or SYS_bind) at `length` bytes of `path`; a first byte of 0
// makes it an abstract name. Whoever is connected to has PEER_SECONDS to accept, and again for each thing that is sent:
// then -ETIMEDOUT, or -EAGAIN of what is sent.
#define PEER_SECONDS 10
int unix_socket(int type, const char *path, size_t length, long call);

// sendmsg(2) and recvmsg(2) with descriptors. Those that did not come are -1; 0 where the other side has gone.
long send_rights(int socket, const void *data, size_t size, const int *fds, unsigned count);
long receive_rights(int socket, void *data, size_t size, int *fds, unsigned count);
int send_descriptor(int socket, const char *name, int fd);
