// What several verbs do: open a container, end its processes, undo what create has done.
#pragma once
#include "base/text.h"
#include "executor/run.h"
#include "launch/request.h"
#include "state/container.h"

_Noreturn void fail_missing(const struct container *c); // the error of a container that does not exist
// Opens the container that the request names, with its program, or ends the verb with an error. `lock`: as
// container_open's.
void need_container(struct container *c, struct request *q, int lock);
void name_container(struct container *c, struct request *q); // root and id, checked
// Runs the section delete and removes the state directory: 0, or -1 with the error's text. `hooks`: with poststop
// hooks.
int destroy_container(struct container *c, int hooks, struct buffer *message);
void destroy_or_warn(struct container *c, int hooks); // the same, and a failure is only a warning
void lock_and_destroy(struct container *c, int hooks); // the same, after the verb has unlocked the container
int kill_init(struct container *c); // with SIGKILL, and waits: 0, -ETIMEDOUT, or what container_relock says
int end_process(int pid, uint64_t start_time); // by SIGKILL, and waits: 1, or 0 if the process is gone
void end_child(struct run *r); // kills it, and waits for its end
