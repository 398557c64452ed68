// What create stores: what undoes the container before anything is made, and at its end state.json, the pid file, and
// the phase that makes the container exist.

#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/wait.h"
#include "executor/child.h"

int do_store_container(struct run *r, const struct step_store_container *s) {
  int error = container_store(r->container);
  if (error) format(&r->detail, "in --root %s", r->container->root);
  if (error || !s->listen) return called(r, "write", error);
  CLOSING int fd = start_socket(r->container, SYS_bind);
  if (fd < 0) return failing(r, "bind", fd);
  error = called(r, "listen", sys2(SYS_listen, fd, 1));
  if (!error) r->start_socket = release(&fd);
  return error;
}

int do_commit(struct run *r, const struct step_commit *s) {
  struct container *c = r->container;
  if (is_readable(r->child.pidfd)) return child_gone(r);
  int error = r->has_state ? 0 : prepare_state(r);
  if (error) return error;
  error = container_rename(c, STATE_TO_BE, "state.json");
  if (error) return failing(r, "state.json", error);
  // Init needs no message: it reads the phase when the runtime has ended, or asks it to start.
  __atomic_store_n(&c->journal->phase, PHASE_CREATED, __ATOMIC_SEQ_CST);
  if (r->cgroup_warning) log_line("warning", r->cgroup_warning);
  return 0;
}

int do_keep_resources(struct run *r, const struct step_keep_resources *s) {
  return called(r, "resources.json", container_keep(r->container, "resources.json", TEXT(data), strlen(TEXT(data))));
}

// Makes a file with the pid in it: fd or negative errno.
static int make_pid_file(struct run *r, const char *path, int flags) {
  BUFFER(number, 24);
  put_number(&number, r->child.pid);
  CLOSING int fd = sys_open(AT_FDCWD, path, O_WRONLY | flags, 0644);
  int error = fd < 0 ? fd : write_all(fd, number.data, number.used);
  return error ? error : release(&fd);
}

// Writes the file before it gives it a name, so that a kill never leaves a partial pid file.
static void prepare_pid_file(struct run *r, const char *path) {
  BUFFER(directory, PATH_SIZE);
  const char *slash = strrchr(path, '/');
  put_bytes(&directory, path, slash ? (size_t)(slash + 1 - path) : 0);
  sys_close(r->pid_file);
  r->pid_file = make_pid_file(r, slash ? directory.data : ".", O_TMPFILE);
}

int do_prepare_pid_file(struct run *r, const struct step_prepare_pid_file *s) {
  prepare_pid_file(r, TEXT(path));
  return 0;
}

static int name_file(int fd, const char *path) {
  BUFFER(link, 64);
  format(&link, "/proc/self/fd/%d", fd);
  return (int)sys5(SYS_linkat, AT_FDCWD, link.data, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

int do_write_pid_file(struct run *r, const struct step_write_pid_file *s) {
  BUFFER(temporary, PATH_SIZE);
  const char *path = TEXT(path), *slash = strrchr(path, '/');
  size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
  if (r->pid_file < 0) prepare_pid_file(r, path);
  if (r->pid_file >= 0 && !name_file(r->pid_file, path)) return 0;
  // An older pid file stays until the new one replaces it.
  put_bytes(&temporary, path, folder);
  format(&temporary, ".%s.%d", path + folder, (int)sys0(SYS_getpid));
  if (temporary.full) return failing(r, "open", -ENAMETOOLONG);
  int is_named = r->pid_file < 0; // the file system has no O_TMPFILE
  if (is_named) r->pid_file = make_pid_file(r, temporary.data, O_CREAT | O_EXCL);
  int error = r->pid_file < 0 ? r->pid_file : is_named ? 0 : name_file(r->pid_file, temporary.data);
  if (!error) error = (int)sys5(SYS_renameat2, AT_FDCWD, temporary.data, AT_FDCWD, path, 0);
  if (error) sys_unlink(AT_FDCWD, temporary.data, 0);
  return called(r, "write", error);
}
