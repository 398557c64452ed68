// main: which verb is asked for, whether the executable has its program, and who runs it.

#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#include "base/caller.h"
#include "base/files.h"
#include "base/log.h"
#include "build-id.h"
#include "launch/created_with.h"
#include "launch/detach.h"
#include "launch/python.h"
#include "program/scan.h"
#include "verbs/create.h"
#include "verbs/exec.h"
#include "verbs/list.h"
#include "verbs/kill.h"
#include "verbs/update.h"
#include "verbs/verbs.h"

#define STDIN "-" // a file that is standard input

static int status_descriptor(const struct request *q) {
  const char *text = q->flags[FLAG_STATUS_FD];
  int64_t fd;
  if (!text) return -1;
  if (parse_number(text, &fd) || fd < 3 + preserved_fds(q) || fd > 1 << 20 ||
      sys_fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
    fail("--status-fd: found %s, expected an open descriptor after those that the process gets, from %d on", text,
        3 + preserved_fds(q));
  return (int)fd;
}

// The descriptor that --config names by a path of its own process; -1: none, or one that the process gets anyway.
static int config_descriptor(const struct request *q) {
  const char *path = q->flags[FLAG_CONFIG];
  int64_t fd;
  if (!path) return -1;
  const char *number = !strncmp(path, "/dev/fd/", 8) ? path + 8 : !strncmp(path, "/proc/self/fd/", 14) ? path + 14 : "";
  return parse_number(number, &fd) || fd < 3 + preserved_fds(q) || fd > 1 << 20 ? -1 : (int)fd;
}

// ---- create and run ----

// A file's bytes: what is compiled is what is kept, whatever happens to the file.
struct bytes {
  char *data;
  size_t size;
};

static struct bytes read_whole(const char *what, const char *path, int only_regular) {
  enum { MOST = 16 << 20 };
  struct stat st;
  CLOSING int fd = !strcmp(path, STDIN) ? sys_fcntl(0, F_DUPFD_CLOEXEC, 3)
                                        : sys_open(AT_FDCWD, path, O_RDONLY | (only_regular ? O_NONBLOCK : 0), 0);
  if (fd == -ENOENT && only_regular)
    logging.hint = "--bundle names the directory that holds it; ocirt spec writes one to start from";
  if (fd < 0) fail("%s %s: %e", what, path, fd);
  if (only_regular && (sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
    fail("%s: found something else, expected a regular file", path);
  struct bytes all = {mmap(0, MOST + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), 0};
  if (all.data == MAP_FAILED) fail("no memory for %s", path);
  long n;
  while ((n = sys_read(fd, all.data + all.size, MOST + 1 - all.size)) > 0)
    all.size += (size_t)n;
  if (all.size > MOST) fail("%s: found more than 16 MiB", path);
  if (n < 0) fail("%s %s: read: %e", what, path, (int)n);
  return all;
}

// The same in a sealed memfd, for Python.
static int hand_over(struct bytes bytes) {
  int copy = sys_data_memfd("config.json"), error = copy < 0 ? copy : write_all(copy, bytes.data, bytes.size);
  if (error) fail("memfd_create: %e", error);
  sys_fcntl(copy, F_ADD_SEALS, SEALS);
  return copy;
}

static struct bytes read_config(struct request *q) {
  if (q->flags[FLAG_CONFIG]) return read_whole("--config", q->flags[FLAG_CONFIG], 0);
  struct buffer path = arena_buffer(plus(strlen(q->flags[FLAG_BUNDLE]), sizeof "/config.json"));
  format(&path, "%s/config.json", q->flags[FLAG_BUNDLE]);
  return read_whole("config.json: open", path.data, 1);
}

// What Python hands back.
static struct bytes take_back(int fd) {
  struct stat st;
  struct bytes all = {0, sys_fstat(fd, &st) < 0 ? 0 : (size_t)st.st_size};
  all.data = mmap(0, all.size + 1, PROT_READ, MAP_PRIVATE, fd, 0);
  if (all.data == MAP_FAILED) fail("no memory for config.json");
  return all;
}

// The path that is the flag's value, absolute and without a slash at its end. The kernel opens none that is longer.
static const char *absolute(unsigned flag, const char *path) {
  const char *here = path[0] == '/' ? "" : current_directory();
  while (path[0] == '.' && path[1] == '/')
    path += 2;
  struct buffer out = arena_buffer(plus(strlen(here), plus(strlen(path), 1)));
  format(&out, *here ? "%s/%s" : "%s%s", here, strcmp(path, ".") ? path : "");
  while (out.used > 1 && out.data[out.used - 1] == '/')
    out.data[--out.used] = 0;
  if (out.used >= PATH_MAX)
    fail("--%s: found a path of %l bytes, expected at most %d", flag_kinds[flag].name, (int64_t)out.used, PATH_MAX - 1);
  return out.data;
}

// Where states lie if --root says nothing: default_root in state_dir.py, in C.
static void put_default_root(struct buffer *to, const struct request *q) {
  const char *runtime = environment_variable(q, "XDG_RUNTIME_DIR"), *user = environment_variable(q, "USER");
  char map[64];
  int uid = (int)sys0(SYS_geteuid), has_runtime = runtime && *runtime;
  if (uid) {
    if (has_runtime)
      format(to, "%s/ocirt", runtime);
    else
      format(to, "/run/user/%l/ocirt", (int64_t)(unsigned)uid);
    return;
  }
  int initial = read_file(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) < 0 ||
                !strcmp(map, "         0          0 4294967295\n");
  format(to, "%s/ocirt", !has_runtime || initial || (user && !strcmp(user, "root")) ? "/run" : runtime);
}

static void complete(struct request *q) {
  const char *as = peer_flag(q->argv[0]);
  if (as && !q->flags[FLAG_AS]) q->flags[FLAG_AS] = as + 5;
  static const unsigned char paths[] = {FLAG_ROOT, FLAG_LOG, FLAG_BUNDLE, FLAG_CONSOLE_SOCKET, FLAG_PIDFD_SOCKET,
      FLAG_PID_FILE, FLAG_CONFIG, FLAG_UPPER, FLAG_WORK, FLAG_PROCESS};
  if (!q->flags[FLAG_ROOT]) {
    const char *runtime = environment_variable(q, "XDG_RUNTIME_DIR");
    struct buffer root = arena_buffer(plus(runtime ? strlen(runtime) : 0, 64));
    put_default_root(&root, q);
    q->has_default_root = 1;
    q->flags[FLAG_ROOT] = root.data;
  }
  const char *log = q->flags[FLAG_LOG];
  if (log && !strncmp(log, "file:", 5)) q->flags[FLAG_LOG] = log + 5;
  if ((q->verb <= VERB_RUN || q->verb == VERB_RESTORE) && !q->flags[FLAG_BUNDLE]) q->flags[FLAG_BUNDLE] = ".";
  for (unsigned i = 0; i < COUNT(paths); i++) {
    const char **flag = &q->flags[paths[i]];
    if (!*flag) continue;
    int from_stdin = !strcmp(*flag, STDIN) && (paths[i] == FLAG_CONFIG || paths[i] == FLAG_PROCESS);
    int to_no_file = paths[i] == FLAG_LOG && !log_is_file(*flag);
    if (!from_stdin && !to_no_file) *flag = absolute(paths[i], *flag);
  }
}

static int has_value(const struct request *q, unsigned flag, const char *value) {
  return q->flags[flag] && !strcmp(q->flags[flag], value);
}

static void set_log(const struct request *q) {
  int is_exec = q->verb == VERB_EXEC;
  logging = (struct log){
      .path = q->flags[FLAG_LOG],
      .json = has_value(q, FLAG_LOG_FORMAT, "json"),
      .debug = q->flags[FLAG_DEBUG] || has_value(q, FLAG_LOG_LEVEL, "debug"),
      .only_errors = has_value(q, FLAG_LOG_LEVEL, "error"),
      .prefix = is_exec ? "exec failed: " : 0,
      .status = is_exec ? 255 : 1,
      .reader = -1,
  };
  log_check();
}

// `@program=PROGRAM,MORE` is Python's hand-over: the number before the comma, and after it (config.json; for update the
// locked state directory).
static void handed_over(char *word, int *program, int *config) {
  int64_t numbers[2] = {-1, -1};
  char *text = word + strlen(HANDED_OVER), *more = strchr(text, ',');
  if (more) *more++ = 0;
  if (parse_number(text, &numbers[0]) || (more && parse_number(more, &numbers[1])) || numbers[0] < 0 ||
      numbers[0] > INT_MAX || numbers[1] > INT_MAX)
    fail("%s: found no descriptor, expected that of a program", word);
  *program = (int)numbers[0];
  *config = (int)numbers[1];
  close_on_exec(*program, 1);
  close_on_exec(*config, 1);
}

static void print_version(void) {
  static const char text[] = "ocirt version " OCIRT_VERSION "\ncommit: " BUILD_ID "\nspec: " SPEC_VERSION "\n";
  write_all(1, text, sizeof text - 1);
  sys_exit(0);
}

#define STORED_MAX (64 << 20) // bytes of a file of the state directory

// A file's bytes; null where it is empty, or larger than any of ours.
static const char *mapped(int fd, size_t *size) {
  struct stat st;
  if (fd < 0 || sys_fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > STORED_MAX) return 0;
  void *data = mmap(0, *size = (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  return data == MAP_FAILED ? 0 : data;
}

static const char *stored_file(const struct container *c, const char *name, size_t *size) {
  int fd = sys_open(c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
  const char *data = mapped(fd, size);
  sys_close(fd);
  return data;
}

static int known_process(const struct request *q, const struct container *c, struct bytes process,
    struct program *program, struct asked *asked) {
  struct existing container = {.config = stored_file(c, "config.json", &container.config_size)};
  struct stored stored;
  struct span text;
  size_t size;
  const char *state = stored_file(c, "state.json", &size);
  if (!container.config || !state || !read_stored(&stored, state, state + size) || !stored.request.size) return 0;
  struct buffer escaped = arena_buffer(stored.bundle.size), bundle = arena_buffer(stored.bundle.size);
  if (!scan_string(&text, stored.bundle.text, stored.bundle.size, escaped.data)) return 0;
  put_bytes(&bundle, text.text, text.size);
  if (q->flags[FLAG_PROCESS] && !process.size) return 0;
  container.process = process.data;
  container.process_size = process.size;
  container.bundle = bundle.data;
  container.request = stored.request;
  return find_exec_program(q, &container, program, asked);
}

// The caller's descriptors end here, but for those that the container is to get. Of these what is not open gets
// something that is closed at execve: no descriptor that we open may pass for one of the caller's.
static void leave_descriptors(struct request *q, int config) {
  int end = 3 + preserved_fds(q), hole = -1;
  struct buffer holes = {0};
  for (int fd = 3; fd < end; fd++) {
    if (sys_fcntl(fd, F_GETFD, 0) >= 0) continue;
    if (hole < 0) {
      // No more than this many digits each; the number of descriptors has a limit.
      holes = arena_buffer(times((size_t)(end - fd), sizeof "65536,") + sizeof HOLES);
      put(&holes, HOLES);
      hole = sys_data_memfd("unused");
      if (hole < 0) fail("memfd_create: %e", hole);
    }
    if (hole != fd && sys_dup3(hole, fd, O_CLOEXEC) < 0)
      break; // a number beyond the limit, which none of ours has either
    format(&holes, "%d,", fd);
  }
  if (hole >= end) sys_close(hole);
  q->holes = holes.data;
  sys_close_range((unsigned)end, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
  close_on_exec(logging.reader, 0);
  close_on_exec(config, 0);
}

static _Noreturn void exec_process(struct request *q, struct asked *asked) {
  struct container c = {0};
  struct bytes process = {0};
  struct program bound = {0};
  need_running(&c, q, 0);
  if (q->flags[FLAG_PROCESS]) process = read_whole("--process", q->flags[FLAG_PROCESS], 0);
  if (!known_process(q, &c, process, &bound, asked))
    start_python(q, "@exec", q->flags[FLAG_PROCESS] ? hand_over(process) : -1, asked);
  close_on_exec(logging.reader, 1);
  leave_own_file();
  verb_exec(q, &c, &bound);
}

// Sealed, and with a program: a kept one, else Python makes one and comes back with it.
static struct bytes find_bundle(struct request *q, struct program *bound) {
  static struct asked asked;
  int given = config_descriptor(q);
  leave_descriptors(q, given);
  seal(q->argv, q->environment);
  if (q->verb == VERB_EXEC) exec_process(q, &asked);
  struct bytes bytes = read_config(q);
  sys_close(given);
  if (q->verb == VERB_RESTORE) start_python(q, "@restore", hand_over(bytes), 0);
  if (!bytes.size || !find_program(q, bytes.data, bytes.size, bound, &asked))
    start_python(q, "@compile", hand_over(bytes), &asked);
  close_on_exec(logging.reader, 1);
  leave_own_file();
  return bytes;
}

int main(int argc, char **argv, char **environment) {
  static struct request q;
  struct program bound = {0};
  struct bytes bytes;
  int program = -1, config = -1;
  (void)argc;
  set_up_process(environment);
  q.environment = environment;
  called_as(argv[0]);
  if (argv[1] && !strncmp(argv[1], HANDED_OVER, strlen(HANDED_OVER))) {
    seal(argv, environment);
    leave_own_file();
    handed_over(argv[1], &program, &config);
    argv[1] = argv[0];
    argv++;
    if (argv[1] && !strncmp(argv[1], HOLES, strlen(HOLES))) {
      q.holes = argv[1];
      argv[1] = argv[0];
      argv++;
    }
  }
  // Which containers a pattern finds is Python's to say.
  int known = parse_command_line(&q, argv) && !q.flags[FLAG_REGEX];
  if (!known) {
    if (argv[1] && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v") || !strcmp(argv[1], "-version")))
      print_version();
    start_python(&q, "@cli", -1, 0);
  }
  complete(&q);
  set_log(&q);
  logging.reader = status_descriptor(&q);
  switch (q.verb) {
  case VERB_UPDATE:
    if (program >= 0) verb_update(&q, program, config);
    start_python(&q, "@cli", -1, 0);
  case VERB_LIST:
    verb_list(&q);
  case VERB_PAUSE:
    verb_pause(&q, program);
  case VERB_RESUME:
    verb_resume(&q, program);
  case VERB_START:
    verb_start(&q, program);
  case VERB_STATE:
    verb_state(&q, program);
  case VERB_KILL:
    verb_kill(&q, program);
  case VERB_DELETE:
    verb_delete(&q, program);
  case VERB_EXEC:
    if (program >= 0) {
      struct container c = {0};
      need_running(&c, &q, 1);
      if (program_load(&bound, program)) fail("the program for %s was compiled by another build", c.id);
      verb_exec(&q, &c, &bound);
    }
  }
  if (program < 0)
    bytes = find_bundle(&q, &bound);
  else {
    if (program_load(&bound, program)) fail("the program of %s was compiled by another build", q.arguments[0]);
    bytes = take_back(config);
  }
  verb_create(&q, &bound, bytes.data, bytes.size);
}
