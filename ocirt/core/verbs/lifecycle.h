#pragma once
#include "base/sys.h"
#include "base/text.h"
#include "executor/run.h"
#include "launch/request.h"
#include "state/container.h"

// lifecycle.c: what several verbs do.
_Noreturn void fail_missing(const struct container *c);
void need_container(struct container *c, struct request *q, int lock, int program_fd);
void name_container(struct container *c, struct request *q); // root and id, checked
int start_socket(struct container *c, long call); // start.sock, by SYS_bind or SYS_connect

// 0; -1 with the error's text; START_DESTROYED if a hook's failure has taken the container with it besides.
#define START_DESTROYED -2

// `socket` leads to the waiting init, -1: start.sock does.
int start_container(struct container *c, int socket, struct buffer *message);
int destroy_container(struct container *c, int hooks, struct buffer *message);
int kill_init(struct container *c);
int end_process(int pid, uint64_t start_time); // by SIGKILL, and waits: 1, or 0 if there is none such
void end_child(struct run *r); // kills it, and waits for its end
