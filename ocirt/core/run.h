// What the executor and the verbs share beyond core.h: the protocol between `start` and a waiting init. FROZEN,
// version 1.
#pragma once
#include <stdint.h>

#define START_VERSION 1
// `start` sends one request. Init answers with a MESSAGE_FAILURE and ends, or closes by executing the program.
struct start_request {
  uint32_t version, reserved;
};

// process.c: how a child's report, or its end without one, becomes the failure of the step that waits for it.
struct message;
int pass_on(struct run *r, const struct message *message, const struct step *here);
int child_gone(struct run *r);

int remember_init(struct run *r, int pid); // in the journal, with its start time
int ended_by_signal(struct run *r);
int no_answer(struct run *r, const char *call); // whoever we talk to has let PEER_SECONDS pass
int send_descriptor(int socket, const char *name, int fd);

#define TAIL 4096
struct tail {
  char text[2 * TAIL];
  size_t used;
}; // at most TAIL bytes are used between two reads
// Another program: `input` is its standard input, `fds` are its descriptors from 3 on, which `prepare` may fill in, in
// the new process; a negative errno of its is the program's failure.
struct command {
  const char *path, *cwd;
  const char *const *args, *const *env;
  int input, fds[6], n_fds, root; // where it begins, in place of `cwd`; 0: not there
  int streams[2]; // what it prints goes there; 0: to `tail`, or the memfd
  struct tail *tail; // gets the end of what it prints, in place of a memfd; null: none
  const struct program *program;
  const struct step_filter_hooks *filter; // installed right before it is executed; null: none
  int of_caller; // it gets the caller's limit of open files, not the runtime's
  int64_t timeout; // seconds, 0: none
  int (*prepare)(struct command *command);
};
struct outcome {
  int status, late, output;
}; // wait status; the time was up; a memfd with what it printed, -1: none
int run_command(struct run *r, struct command *command, struct outcome *outcome); // 0 once it has ended
// identity.c: why a file cannot be executed; the interpreter that it names, where that is missing.
void put_exec_error(struct buffer *to, const char *path, int error);
void put_output(struct buffer *to, int output); // the end of what it printed, in one line

// helper.c: has the helpers that ran before the step `failed` undo what they did; what goes wrong is a warning.
void undo_helpers(struct run *r, const struct step *failed);

// launch.c: the interpreter (null: the script names none) and its script ocirt-python, which lies beside the
// executable.
int find_python(const char **interpreter, const char **script);
