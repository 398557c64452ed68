// Spawn: makes the stage or init by clone3, in its cgroup if the kernel allows that.

#include <signal.h>
#include <sys/prctl.h>
#include <linux/sched.h>

#include "base/socket.h"
#include "base/wait.h"
#include "cgroup/cgroup2.h"
#include "executor/child.h"
#include "executor/execute.h"

// `cgroup` is the cgroup of the child, -1 for the runtime's own. On a hybrid host it does not count pids, because the
// child is still in the runtime's cgroup of that controller.
static int explain_spawn(struct run *r, int error, int cgroup) {
  struct stat st;
  int into_cgroup = cgroup >= 0, counted = into_cgroup && sys_stat(cgroup, "pids.max", &st, 0) == 0;
  if (into_cgroup && error == -EACCES) put(&r->detail, "the cgroup may not be entered from the runtime's own");
  if (into_cgroup && error == -EBUSY) put(&r->detail, "the cgroup has controllers enabled for children");
  // On cgroup v1 init is made before it joins its cgroups, unless a stage makes it.
  if (error == -EAGAIN)
    put(&r->detail, counted || r->section == SECTION_STAGE
                        ? "is pids.max of the container's cgroup, or of one above it, reached?"
                        : NO_MORE_PROCESSES);
  if (into_cgroup && error == -EOPNOTSUPP) put(&r->detail, "the cgroup is part of a threaded one");
  // The kernel gives ENOMEM if the init of the pid namespace has ended.
  if (error == -ENOMEM && r->section == SECTION_STAGE) put(&r->detail, "has the pid namespace that is joined ended?");
  return failing(r, "clone3", error);
}

// clone3(2) into the cgroup. If the kernel refuses, makes the child in the caller's cgroup (`allow_caller_cgroup`) or
// in that of init.
static long clone_child(struct run *r, const struct step_spawn *s, int *pidfd, int *into) {
  int cgroup = NUMBER(cgroup) >= 0 && r->child.entry < 0 ? r->fds[NUMBER(cgroup)] : -1;
  if (s->allow_caller_cgroup == 1 && cgroup < 0 && r->child.entry < 0)
    r->cgroup_warning = "the container stays in the runtime's cgroup: this user may not make one for it";
  uint64_t flags = s->flags | (r->section == SECTION_STAGE ? CLONE_PARENT : 0);
  long pid = clone_process(flags, pidfd, cgroup);
  if (pid == -EACCES && cgroup >= 0 && s->allow_caller_cgroup) {
    r->cgroup_warning = "the container stays in the runtime's cgroup: from there this user may not enter another";
    cgroup = -1;
    pid = clone_process(flags, pidfd, cgroup);
  }
  // EBUSY: the container has moved its processes to child cgroups and enabled controllers for them. The cgroup of its
  // first process may hold processes.
  for (int tries = 0; pid == -EBUSY && cgroup >= 0 && *TEXT(hierarchy) && tries < 16; tries++) {
    int fd = open_cgroup_of_init(r, TEXT(hierarchy));
    if (fd < 0) break;
    sys_close(cgroup);
    r->fds[NUMBER(cgroup)] = cgroup = fd;
    pid = clone_process(flags, pidfd, cgroup);
  }
  *into = cgroup;
  return pid;
}

int do_spawn(struct run *r, const struct step_spawn *s) {
  int pidfd = -1, into, from_stage = r->section == SECTION_STAGE;
  CLOSING int ours = -1, theirs = -1;
  int error = from_stage ? 0 : socket_pair(SOCK_SEQPACKET, &ours, &theirs);
  if (error < 0) return failing(r, "socketpair", error);
  if (!from_stage) *r->child.runs = 0;
  long pid = clone_child(r, s, &pidfd, &into);
  if (pid < 0) return explain_spawn(r, (int)pid, into);
  if (!pid) {
    __atomic_store_n(r->child.runs, 1, __ATOMIC_SEQ_CST);
    if (!from_stage) {
      r->peer = release(&theirs);
      sys_close(ours);
    }
    // If the runtime dies before it commits, this process dies with it. If it has died already, the socket shows it.
    sys_prctl(PR_SET_PDEATHSIG, SIGKILL, 0);
    run_child(r, (unsigned)s->section);
  }
  if (from_stage) {
    struct message message = {.kind = MESSAGE_EVENT, .event = EVENT_SPAWNED, .pid = (int32_t)pid};
    return called(r, "sendmsg", send_message(r->peer, &message, &pidfd, 1));
  }
  r->peer = release(&ours);
  r->child.pid = (int)pid;
  r->child.pidfd = pidfd;
  return s->section == SECTION_INIT ? become_container(r) : 0;
}
