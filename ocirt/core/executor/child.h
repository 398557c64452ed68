// The child of a verb: what the runtime knows of it, and its end or report as the failure of a step.
#pragma once
#include "base/sys.h"
#include "executor/channel.h"
#include "executor/run.h"
#include "state/container.h"
#include "steps.h"

// Until `fd` can be read: 1, 0 after so long (-1: without end), or -EINTR where a signal asks the verb to end.
int wait_or_end(const struct container *c, int fd, int milliseconds);
int killed_at_birth(struct run *r); // and made ready for doing the Spawn again
int pass_on(struct run *r, const struct message *message, const struct step *here);
int earlier_report(struct run *r, const struct step *here, int error); // or this error, if there is none
int child_gone(struct run *r);
int remember_init(struct run *r, int pid); // in the journal, with its start time
int ended_by_signal(struct run *r);
int no_answer(struct run *r, const char *call); // whoever we talk to has let PEER_SECONDS pass

// create: the child is the container's first process from here on.
int become_container(struct run *r);
#define STATE_TO_BE "state.json.new"

// The state as it will be, while init is at work; Commit renames it.
int prepare_state(struct run *r);
