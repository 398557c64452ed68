// The descriptors that the caller passes on: those for the container, and those that flags name.
#pragma once
#include "launch/request.h"

int listen_fds(const struct request *q); // how many a service manager passes to this process
void keep_for_program(const struct request *q); // closes those on exec: Exec opens them to the container's program
int status_descriptor(const struct request *q); // of --status-fd, or -1
int config_descriptor(const struct request *q); // that --config names as a path; -1: none, or one for the container

void close_on_exec(int fd, int yes); // sets or clears it
void close_holes_on_exec(const int *holes); // q->holes

// Call before opening anything. The caller's descriptors are closed on exec, except for those for the container, and a
// stand-in takes the place of each of these that is not open. Otherwise one of the runtime's would pass for it.
void separate_descriptors(struct request *q, int config);
