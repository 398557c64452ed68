// Finds and executes the program of the container: HOME, environment, search in PATH, execve.

#include <string.h>
#include <linux/close_range.h>

#include "base/exec_error.h"
#include "base/files.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/signals.h"
#include "executor/run.h"
#include "launch/descriptors.h"

#define HOME "HOME="

#define DEFAULT_PATH "/bin:/usr/bin" // if the environment has no PATH

// The value of the last entry of `env` that begins with `name` (which ends with '='), because the last one counts.
static const char *variable(const struct texts *env, const char *name) {
  size_t length = strlen(name);
  for (uint32_t i = env->count; i-- > 0;)
    if (!strncmp(env->items[i], name, length)) return env->items[i] + length;
  return 0;
}

static int try_program(const char *path) {
  struct stat st;
  int error = sys_stat(AT_FDCWD, path, &st, 0);
  if (error < 0) return error;
  if (S_ISDIR(st.st_mode)) return -EISDIR;
  error = (int)sys4(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS);
  // An old seccomp filter around the runtime may refuse faccessat2. By now the real user is the effective one, so
  // faccessat gives the same answer.
  return error == -ENOSYS || error == -EPERM ? (int)sys3(SYS_faccessat, AT_FDCWD, path, X_OK) : error;
}

int do_find_home(struct run *r, const struct step_find_home *s) {
  const char *given = variable(TEXTS(env), HOME);
  struct stat st;
  if (given && *given) return 0;
  struct buffer to = {r->home = arena_alloc(PATH_SIZE), PATH_SIZE, 0, 0};
  if (!r->home) return failing(r, "mmap", -ENOMEM);
  put(&to, HOME);
  CLOSING int passwd = resolve(r->rootfs, "/etc/passwd", O_RDONLY | O_NONBLOCK);
  if (passwd < 0 || sys_fstat(passwd, &st) < 0 || !S_ISREG(st.st_mode) ||
      !put_user(&to, passwd, NUMBER(uid), USER_HOME))
    put(&to, "/");
  return 0;
}

// The environment of the program: the last entry for each variable, as successive setenv(3) leave it, and HOME.
static const char *const *make_environment(const struct texts *env, const char *home) {
  const char **all = arena_alloc((env->count + 2) * sizeof *all);
  uint64_t *hashes = arena_alloc((env->count + 1) * sizeof *hashes);
  if (!all || !hashes) return 0;
  for (uint32_t i = 0; i < env->count; i++)
    hashes[i] = hash_of(HASH, env->items[i], strcspn(env->items[i], "="));
  uint32_t used = 0;
  for (uint32_t i = 0; i < env->count; i++) {
    size_t length = strcspn(env->items[i], "=");
    int again = home && !strncmp(env->items[i], HOME, strlen(HOME)); // an empty HOME counts as missing
    for (uint32_t k = i + 1; k < env->count && !again; k++)
      again = hashes[i] == hashes[k] && !strncmp(env->items[i], env->items[k], length) &&
              strcspn(env->items[k], "=") == length;
    if (!again) all[used++] = env->items[i];
  }
  if (home) all[used++] = home;
  return all;
}

// Finds the first executable `name` in the directories `at`: 0, or the error that explains why there is none.
static int search(struct buffer *path, const char *name, const char *at) {
  int error = -ENOENT, is_denied = 0;
  while (error && at) {
    size_t length = strcspn(at, ":");
    path->used = path->full = 0;
    put_bytes(path, length ? at : ".", length ? length : 1);
    format(path, "/%s", name);
    error = path->full ? -ENAMETOOLONG : try_program(path->data);
    is_denied |= error == -EACCES;
    at = at[length] ? at + length + 1 : 0;
  }
  return error && is_denied ? -EACCES : error;
}

static int find_program_file(struct buffer *path, const char *name, const struct texts *env) {
  const char *directories = variable(env, "PATH=");
  if (!*name) return -ENOENT;
  if (!strchr(name, '/')) return search(path, name, directories ? directories : DEFAULT_PATH);
  put(path, name);
  return path->full ? -ENAMETOOLONG : try_program(path->data);
}

// Engines choose exit status 126 or 127 by these words of runc's.
static int no_program(struct run *r, const char *name, int error) {
  format(&r->detail, "%s: exec: %j: ", text_of(r->program, r->step->at), name);
  if (error == -EACCES)
    put(&r->detail, "permission denied");
  else if (!strchr(name, '/'))
    put(&r->detail, "executable file not found in $PATH");
  else if (error == -EISDIR)
    put(&r->detail, "is a directory: permission denied"); // engines look for the one text or the other
  else
    format(&r->detail, "stat %s: %e", name, error);
  return failing(r, "", error);
}

int do_find_executable(struct run *r, const struct step_find_executable *s) {
  const char *name = TEXTS(args)->items[0];
  struct buffer path = {r->executable = arena_alloc(PATH_SIZE), PATH_SIZE, 0, 0};
  if (!r->executable) return failing(r, "mmap", -ENOMEM);
  int error = find_program_file(&path, name, TEXTS(env));
  if (error) return no_program(r, name, error);
  r->environment = make_environment(TEXTS(env), r->home);
  return r->environment ? 0 : failing(r, "mmap", -ENOMEM);
}

int do_prepare_exec(struct run *r, const struct step_prepare_exec *s) {
  unsigned first = 3 + (unsigned)s->preserve;
  for (unsigned fd = 3; fd < first; fd++)
    sys_fcntl((int)fd, F_SETFD, 0);
  close_holes_on_exec(r->container->holes);
  if (r->joins) reset_signals(); // prepare_ready() has reset those of init
  unblock_signals();
  return called(r, "close_range", sys_close_range(first, ~0u, CLOSE_RANGE_CLOEXEC));
}

// The bytes of all texts, each with its NUL.
static int64_t bytes_in(const char *const *texts) {
  int64_t size = 0;
  for (; *texts; texts++)
    size += (int64_t)strlen(*texts) + 1;
  return size;
}

int do_exec(struct run *r, const struct step_exec *s) {
  // The phase must say running before the program runs. If execve fails, this process ends.
  __atomic_store_n(r->child.phase, PHASE_RUNNING, __ATOMIC_SEQ_CST);
  int error = (int)sys3(SYS_execve, r->executable, TEXTS(args)->items, r->environment);
  // A store, because a seccomp filter may refuse system calls by now.
  __atomic_store_n(r->child.phase, PHASE_CREATED, __ATOMIC_SEQ_CST);
  if (error == -E2BIG) // the kernel limits both together
    format(&r->detail, "process.args (%l bytes) and process.env (%l bytes)", bytes_in(TEXTS(args)->items),
        bytes_in(r->environment));
  format(&r->detail, "%s: exec %s: ", error == -E2BIG ? "" : text_of(r->program, s->head.at), r->executable);
  put_exec_error(&r->detail, r->executable, error);
  return failing(r, "", error);
}
