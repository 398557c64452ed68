// Unix sockets, and passing descriptors over them.
#pragma once
#include "base/sys.h"

// Makes a unix socket and connects or binds it (`call`: SYS_connect or SYS_bind) to the first `length` bytes of `path`;
// a path that begins with @ is an abstract name. If the peer does not accept within PEER_SECONDS, -ETIMEDOUT; if it
// does not read within that time, the send gives -EAGAIN.
#define PEER_SECONDS 10
int socket_pair(int type, int *ours, int *theirs); // close-on-exec; leaves both as they are if it fails
int unix_socket(int type, const char *path, size_t length, long call);

// sendmsg(2) and recvmsg(2) with descriptors. A descriptor that was not received is -1; 0 bytes: the peer has closed.
long send_rights(int socket, const void *data, size_t size, const int *fds, unsigned count);
long receive_rights(int socket, void *data, size_t size, int *fds, unsigned count);
int send_descriptor(int socket, const char *name, int fd);
