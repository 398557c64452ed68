// The verbs that the executable runs by itself, and the command line they get.
#pragma once
#include "core.h"

#include "flags.h"

struct request {
  int verb; // an enum verb_id
  const char *flags[FLAG_COUNT]; // null: not given; a switch has "1"
  const char *arguments[2];
  unsigned n_arguments;
  size_t n_values;
  int has_default_root; // --root was not given
  char **command; // exec: what follows the id
  char **argv; // the command line as it came, without our own first words
  char **environment;
  struct {
    unsigned char flag;
    const char *value;
  } *values; // of the flags that repeat, in order
  const char *holes; // HOLES and numbers: descriptors that the caller might have passed on, and has not; or null
};

// The first word of the command line where there are any, when Python hands it back.
#define HOLES "@holes="

// Reads the command line: 1, or 0 if it is not one that the executable takes by itself (another verb, help, a mistake).
int parse_command_line(struct request *q, char **argv);

const char *current_directory(void);

// Blocks all signals: a signalfd of them; `ends`, if not null, gets one of those that end a verb which is not yet so
// far.
int relay_signals(int *ends);
// What a foreground verb stays with: a process, the signals that came for it, the master of its terminal (-1: it has
// none of ours). subreaper: what is orphaned to us is reaped.
struct relayed {
  struct container *container;
  int pid, pidfd, signals, master, subreaper;
  uint64_t start_time;
};
// Until the process ends: its exit status; or until nobody reads at --status-fd any more: -1, and the process has been
// sent SIGKILL.
int relay(const struct relayed *about);
void connect_terminal(int master); // makes the container's terminal fit to ours, before its program can ask

_Noreturn void verb_create(struct request *q, const struct program *program, const void *config, size_t size);
_Noreturn void verb_start(struct request *q, int program_fd);
_Noreturn void verb_state(struct request *q, int program_fd);
_Noreturn void verb_kill(struct request *q, int program_fd);
_Noreturn void verb_delete(struct request *q, int program_fd);
_Noreturn void verb_exec(struct request *q, struct container *c, const struct program *program);
// exec.c: the container, if exec can act on it; `found`: it was there when the verb began.
void need_running(struct container *c, struct request *q, int found);
_Noreturn void verb_pause(struct request *q, int program_fd);
_Noreturn void verb_resume(struct request *q, int program_fd);
_Noreturn void verb_list(struct request *q);
_Noreturn void verb_update(struct request *q, int program_fd, int lock);

int preserved_fds(const struct request *q); // LISTEN_FDS and --preserve-fds
int listen_fds(const struct request *q);
const char *environment_variable(const struct request *q, const char *name);
const char *runtime_directory(
    const struct request *q); // the user's, for a request that may ask systemd for cgroups; or null

// launch.c: starts Python, in one of the branches of boot.py. What it compiles it may keep at `place` (null: nowhere).
struct place;
_Noreturn void start_python(struct request *q, const char *branch, int config_fd, const struct place *place);

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
