// One run of a section: the state that its steps share, and how they report a failure.
#pragma once
#include "base/text.h"
#include "program/program.h"
#include "state/container.h"
#include "steps.h"

// The process that a verb has made. Create and restore copy it into the journal (become_container); exec, whose process
// is not the container's first one, does not.
struct child {
  int pid, pidfd; // pidfd -1: none
  int entry; // -1, or cgroup.procs of the cgroup that the child moves into by itself
  uint32_t *runs; // the child, or the process that it made last, notes here that it has begun to run
  uint32_t *phase; // the child notes here that it executes its program
};

struct run {
  struct container *container;
  const struct program *program;
  unsigned section;
  int fds[REGISTERS];
  uint8_t joined[REGISTERS]; // namespace registers that are done
  int peer; // socket to the other side, -1: none
  uint32_t arrived; // host: a bit for each event that came before its Receive
  int proc; // a private procfs, -1: not yet mounted
  int rootfs, null, empty; // rootfs; what masks files and directories (-1: not yet)
  const struct step_filter_hooks *hook_filter; // exec_program: what hooks install for themselves; null: nothing
  const struct step *spawn; // host: the latest Spawn
  const char *cgroup_warning; // host: why the child is in the caller's cgroup: a warning once it is created
  struct child child; // host: the process that Spawn made (the stage, then what the stage made)
  int has_state; // host: state.json is written under its temporary name
  int pid_file; // host: the future pid file, still without a name, -1: none
  int joins; // exec: the child joins an existing container
  int signals; // exec in the foreground: signals to pass on, -1: none
  int pid; // init: this process as the runtime sees it, 0: not told
  struct job *job; // host: what systemd has been asked (cgroup/systemd.c)
  const struct network *network; // host: what a thread makes (process/namespace.c), null: nothing
  int console; // host: the master that init sent, for a foreground run
  int start_socket; // on which init waits for start
  int starter; // init: the connection of `start`
  int signal, signalled; // signal section; how many processes got it
  char *executable, *home; // init: what Exec executes, since a filter may forbid to look later; null, or HOME=...
  const char *const *environment; // init: the program's
  int in_directory; // init: ChangeDirectory has succeeded once
  int hooks; // delete section: run hooks (0: skip them)
  int null_attached; // null is a mount of the container's namespace already
  struct view *views; // mount/views.c: the mounted parts of procfs and sysfs
  int space, top; // the runtime's mount namespace and root directory, while init makes the rootfs in another; or -1
  int covers; // how many mounts lie over the root that init leaves
  int own; // that other namespace, -1 if it began as a copy; `before`: the propagation of what init takes from the host
  uint64_t before;
  int cgroupfs; // /sys/fs/cgroup, -1: not opened yet
  uint32_t skipped[32]; // hierarchies that may not be written
  unsigned n_skipped;
  const struct step *step; // the current one
  const char *call; // of the failure: the call that failed
  struct buffer detail; // of the failure: the words of the kernel, a helper or the other side
  char detail_data[6144];
};

// Does the runtime's own process run this section, beside a child?
static inline int is_host(const struct run *r) { return r->section == SECTION_HOST || r->section == SECTION_RENEW; }

// Notes the failing call and returns the error: `return failing(r, "openat2", error);`
static inline int failing(struct run *r, const char *call, int error) {
  r->call = call;
  return error;
}

// The same, with the reason as the detail.
static inline int failing_because(struct run *r, const char *call, int error, const char *reason) {
  put(&r->detail, reason);
  return failing(r, call, error);
}

// The same for the result of a call: `return called(r, "setns", sys2(SYS_setns, fd, kind));`
static inline int called(struct run *r, const char *call, long result) {
  return result < 0 ? failing(r, call, (int)result) : 0;
}
// Why the kernel refuses to make a process or a thread in the runtime's own cgroup.
#define NO_MORE_PROCESSES "is pids.max of the runtime's cgroup, or its RLIMIT_NPROC, reached?"

// Forgets the detail of a failed attempt before another one.
static inline void forget_detail(struct run *r) {
  r->detail.used = r->detail.full = 0;
  r->detail.data[0] = 0;
}

#define TEXT(field) text_of(r->program, s->field)
#define TEXTS(field) texts_of(r->program, s->field)
#define NUMBER(field) ((int64_t)s->field)
#define X(name, code, size, sentence, kinds, ...) int do_##name(struct run *r, const struct step_##name *s);

EACH_STEP(X)
#undef X
#define X(name) void explain_##name(struct run *r, const struct step_##name *s, int error);

EACH_EXPLAINED(X)
#undef X
