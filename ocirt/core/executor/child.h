// The child of a verb, and how its end or its report becomes the failure of a step.
#pragma once
#include "executor/channel.h"
#include "executor/run.h"
#include "state/container.h"
#include "steps.h"

int wait_or_end(const struct container *c, int fd); // 0: `fd` can be read; -EINTR: a signal asks the verb to end
// The next message for a step, as receive_message gives it; or -EINTR like wait_or_end.
int await_message(const struct container *c, int socket, struct message *message, int *fds, unsigned count);
int killed_at_birth(struct run *r); // 1: the kernel did, and `r` is ready for a retry of Spawn
int pass_on(struct run *r, const struct message *message);
int earlier_report(struct run *r, int error); // `error` if there is no report
int child_gone(struct run *r);
int remember_init(struct run *r, int pid); // in the journal, with its start time
int ended_by_signal(struct run *r);
int no_answer(struct run *r, const char *call); // the failure of a peer that has let PEER_SECONDS pass
int send_to_peer(struct run *r, int socket, const char *name, int fd); // to one that has connected for it

// Create: makes the child the container's first process.
int become_container(struct run *r);
#define STATE_TO_BE "state.json.new"

// Writes the state of the created container while init is at work. Commit renames the file.
int prepare_state(struct run *r);
