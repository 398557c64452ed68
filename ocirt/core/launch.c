// The launcher: keeps itself from the container that it is going to make (seal.c), finds Python, and hands over.
#include "cache.h"

#include <string.h>
#include <sys/mman.h>

#include "build-id.h"
#include "seal.h"
#include "stored.h"

// What is no number is Python's to explain; nothing is preserved until then.
int preserved_fds(const struct request *q) {
  int64_t count = 0, listen = q->verb == VERB_EXEC ? 0 : listen_fds(q);
  if (q->flags[FLAG_PRESERVE_FDS] && (parse_number(q->flags[FLAG_PRESERVE_FDS], &count) || count < 0 || count > 65536)) count = 0;
  return (int)(listen + count);
}

// Before and after an exec of our own: 0 keeps the descriptor open over it.
static void close_on_exec(int fd, int yes) { if (fd >= 0) sys_fcntl(fd, F_SETFD, yes ? FD_CLOEXEC : 0); }

static int status_descriptor(const struct request *q) {
  const char *text = q->flags[FLAG_STATUS_FD];
  int64_t fd;
  if (!text) return -1;
  if (parse_number(text, &fd) || fd < 3 + preserved_fds(q) || fd > 1 << 20 || sys_fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
    fail("--status-fd: found %s, expected an open descriptor after those that the process gets, from %d on", text, 3 + preserved_fds(q));
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

// ---- Python ----

// The interpreter that pip, or the build, wrote into the first line of ocirt-python. A path with spaces or of more than
// 127 characters stands in a line of shell: #!/bin/sh, then '''exec' "/path/python" "$0" "$@".
static const char *interpreter_of(char *text) {
  char *end = text + strcspn(text, "\n");
  if (strncmp(text, "#!", 2)) return 0;
  char *start = text + 2;
  if (!strncmp(start, "/bin/sh\n", 8)) {
    start = end + 1;
    if (strncmp(start, "'''exec' ", 9)) return 0;
    start += 9;
    if (*start == '"' || *start == '\'') { char quote = *start++; end = strchr(start, quote); } else end = start + strcspn(start, " \n");
    if (!end) return 0;
  }
  *end = 0;
  end = start + strcspn(start, "\r");
  *end = 0;
  return start;
}

int find_python(const char **interpreter, const char **script) {
  static char path_data[4200], head[8192];
  struct buffer path = {path_data, sizeof path_data, 0, 0};
  find_home();
  put_bytes(&path, own_path, own_folder); put(&path, "/ocirt-python");
  *script = path_data;
  long n = read_file(AT_FDCWD, path_data, head, sizeof head);
  if (n < 0) return (int)n;
  *interpreter = interpreter_of(head);
  return 0;
}

// key=value words of the request for Python.
struct words { const char *items[1200]; unsigned count; char text[1 << 19]; struct buffer buffer; };

static void add_word(struct words *w, const char *key, const char *value) {
  if (w->count == COUNT(w->items)) { w->buffer.full = 1; return; }
  w->items[w->count++] = w->text + w->buffer.used;
  put(&w->buffer, key); put(&w->buffer, "="); put(&w->buffer, value);
  put_bytes(&w->buffer, "", 1);
}

static void add_number(struct words *w, const char *key, int number) {
  BUFFER(text, 16);
  put_number(&text, number);
  add_word(w, key, text.data);
}

_Noreturn void start_python(struct request *q, const char *branch, int config_fd, const struct place *place) {
  enum { MOST_WORDS = 1 << 17 };
  const char *script, *interpreter, **argv = more_memory(MOST_WORDS * sizeof *argv);
  struct words *words = more_memory(sizeof *words);
  need_memory_for_python();
  if (!argv || !words) fail("no memory for the command line of Python");
  words->buffer = (struct buffer){words->text, sizeof words->text, 0, 0};
  int error = find_python(&interpreter, &script);
  if (error) fail("%s: %e (it belongs beside the executable %s)", script, error, own_path);
  if (!interpreter) fail("%s: its first line names no interpreter", script);
  int self = own_file >= 0 ? own_file : sys_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
  sys_fcntl(self, F_SETFD, 0);
  add_number(words, "self", self);
  if (config_fd >= 0) {
    sys_fcntl(config_fd, F_SETFD, 0);
    add_number(words, "config", config_fd);
  }
  if (strcmp(branch, "@cli")) {
    add_word(words, "verb", native_verbs[q->verb].name);
    add_word(words, "id", q->arguments[0]);
    if (place && *place->path) { add_word(words, "cache", place->path); add_word(words, "cache-key", place->key); }
    const char *notify = q->verb == VERB_EXEC ? 0 : environment_variable(q, "NOTIFY_SOCKET");
    if (notify && *notify) add_word(words, "notify-socket", notify);
    if (runtime_directory(q)) add_word(words, "runtime-dir", runtime_directory(q));
    if (q->verb != VERB_EXEC && listen_fds(q)) add_number(words, "listen-fds", listen_fds(q));
    for (unsigned flag = 0; flag < FLAG_COUNT; flag++)
      if (q->flags[flag] && flag != FLAG_CONFIG) add_word(words, flag_names[flag], q->flags[flag]);
    for (unsigned i = 0, seen[FLAG_COUNT] = {0}; i < q->n_values; i++) {
      BUFFER(key, 64);
      put(&key, flag_names[q->values[i].flag]); put(&key, "."); put_number(&key, seen[q->values[i].flag]++);
      add_word(words, key.data, q->values[i].value);
    }
    int count = 0;
    for (char **word = q->command; word && *word; word++) count++;
    if (q->command) add_number(words, "command", count);
  }
  unsigned count = 0;
  argv[count++] = interpreter; argv[count++] = "-I"; argv[count++] = "-S";
  // Paths are bytes in whatever locale the caller has; UTF-8 with escapes takes them all.
  argv[count++] = "-X"; argv[count++] = "utf8"; argv[count++] = script; argv[count++] = branch;
  for (unsigned i = 0; i < words->count; i++) argv[count++] = words->items[i];
  argv[count++] = "--";
  argv[count++] = own_path;
  for (char **word = q->argv + 1; *word && count < MOST_WORDS - 1; word++) argv[count++] = *word;
  if (words->buffer.full || count == MOST_WORDS - 1) fail("the command line is too long");
  error = (int)sys3(SYS_execve, interpreter, argv, environment_for_python());
  fail("Python interpreter %s (first line of %s): %e", interpreter, script, error);
}

// ---- create and run ----

// A file's bytes: what is compiled is what is kept, whatever happens to the file.
struct bytes { char *data; size_t size; };

static struct bytes read_whole(const char *what, const char *path, int only_regular) {
  enum { MOST = 16 << 20 };
  struct stat st;
  int fd = sys_open(AT_FDCWD, path, O_RDONLY | (only_regular ? O_NONBLOCK : 0), 0);
  if (fd < 0) fail("%s %s: %e", what, path, fd);
  if (only_regular && (sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) fail("%s: found something else, expected a regular file", path);
  struct bytes all = {mmap(0, MOST + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), 0};
  if (all.data == MAP_FAILED) fail("no memory for %s", path);
  long n;
  while ((n = sys_read(fd, all.data + all.size, MOST + 1 - all.size)) > 0) all.size += (size_t)n;
  if (all.size > MOST) fail("%s: found more than 16 MiB", path);
  if (n < 0) fail("%s: read: %e", path, (int)n);
  sys_close(fd);
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
  STATIC_BUFFER(path, 8192);
  if (q->flags[FLAG_CONFIG]) return read_whole("--config", q->flags[FLAG_CONFIG], 1);
  put(&path, q->flags[FLAG_BUNDLE]); put(&path, "/config.json");
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

// Absolute paths in place of relative ones; `store` keeps them.
static const char *absolute(const char *path, char **store, char *end) {
  struct buffer out = {*store, (size_t)(end - *store), 0, 0};
  if (path[0] != '/') {
    long n = sys2(SYS_getcwd, out.data, out.size);
    if (n < 0) fail("the current directory: %e", (int)n);
    out.used = (size_t)n - 1;
    put(&out, "/");
  }
  while (path[0] == '.' && path[1] == '/') path += 2;
  put(&out, strcmp(path, ".") ? path : "");
  while (out.used > 1 && out.data[out.used - 1] == '/') out.data[--out.used] = 0;
  if (out.full) fail("the path %s is too long", path);
  const char *result = *store;
  *store += out.used + 1;
  return result;
}

// Where states lie if --root says nothing: default_root in state.py, in C.
static void put_default_root(struct buffer *to, const struct request *q) {
  const char *runtime = environment_variable(q, "XDG_RUNTIME_DIR"), *user = environment_variable(q, "USER");
  char map[64];
  int uid = (int)sys0(SYS_geteuid), has_runtime = runtime && *runtime;
  if (uid) {
    if (has_runtime) format(to, "%s/ocirt", runtime); else format(to, "/run/user/%l/ocirt", (int64_t)(unsigned)uid);
    return;
  }
  int initial = read_file(AT_FDCWD, "/proc/self/uid_map", map, sizeof map) < 0 || !strcmp(map, "         0          0 4294967295\n");
  format(to, "%s/ocirt", !has_runtime || initial || (user && !strcmp(user, "root")) ? "/run" : runtime);
}

static void complete(struct request *q) {
  static char store[11 * 4200], *at = store;
  static const unsigned char paths[] = {FLAG_ROOT, FLAG_LOG, FLAG_BUNDLE, FLAG_CONSOLE_SOCKET, FLAG_PIDFD_SOCKET, FLAG_PID_FILE,
                                        FLAG_CONFIG, FLAG_UPPER, FLAG_WORK, FLAG_PROCESS};
  if (!q->flags[FLAG_ROOT]) {
    struct buffer root = {at, 4200, 0, 0};
    put_default_root(&root, q);
    q->has_default_root = 1;
    q->flags[FLAG_ROOT] = root.data;
    at += root.used + 1;
  }
  const char *log = q->flags[FLAG_LOG];
  if (log && !strncmp(log, "file:", 5)) q->flags[FLAG_LOG] = log + 5;
  if ((q->verb <= VERB_RUN || q->verb == VERB_RESTORE) && !q->flags[FLAG_BUNDLE]) q->flags[FLAG_BUNDLE] = ".";
  for (unsigned i = 0; i < COUNT(paths); i++)
    if (q->flags[paths[i]] && (paths[i] != FLAG_LOG || log_is_file(q->flags[FLAG_LOG])))
      q->flags[paths[i]] = absolute(q->flags[paths[i]], &at, store + sizeof store);
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
static void handed_over(const char *word, int *program, int *config) {
  int *number = program;
  *program = 0;
  for (word += strlen("@program="); *word; word++) {
    if (*word == ',') { number = config; *config = 0; }
    else *number = *number * 10 + (*word - '0');
  }
  sys_fcntl(*program, F_SETFD, FD_CLOEXEC);
  if (*config >= 0) sys_fcntl(*config, F_SETFD, FD_CLOEXEC);
}

static void print_version(void) {
  static const char text[] = "ocirt version " OCIRT_VERSION "\ncommit: " BUILD_ID "\nspec: " SPEC_VERSION "\n";
  write_all(1, text, sizeof text - 1);
  sys_exit(0);
}

// A value that none of the verbs here takes, which is Python's to explain.
static int wrong_choice(const struct request *q) {
  const char *format = q->flags[FLAG_FORMAT];
  return format && strcmp(format, "table") && strcmp(format, "json");
}

// A file's bytes; null where it is empty.
static const char *mapped(int fd, size_t *size) {
  struct stat st;
  if (fd < 0 || sys_fstat(fd, &st) < 0 || !st.st_size) return 0;
  void *data = mmap(0, *size = (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  return data == MAP_FAILED ? 0 : data;
}

static const char *stored_file(const struct container *c, const char *name, size_t *size) {
  int fd = sys_open(c->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
  const char *data = mapped(fd, size);
  sys_close(fd);
  return data;
}

static int known_process(const struct request *q, const struct container *c, struct bytes process, struct program *program,
                         struct place *place) {
  static char bundle[4200];
  struct existing container = {.config = stored_file(c, "config.json", &container.config_size)};
  struct stored stored;
  struct span text;
  size_t size;
  const char *state = stored_file(c, "state.json", &size);
  if (!container.config || !state || !read_stored(&stored, state, state + size) || !stored.request.size ||
      stored.bundle.size >= sizeof bundle || !scan_string(&text, stored.bundle.text, stored.bundle.size, bundle)) return 0;
  memmove(bundle, text.text, text.size);
  bundle[text.size] = 0;
  if (q->flags[FLAG_PROCESS] && !process.size) return 0;
  container.process = process.data;
  container.process_size = process.size;
  container.bundle = bundle;
  container.request = stored.request;
  return find_exec_program(q, &container, program, place);
}

// The caller's descriptors end here, but for those that the container is to get.
static void leave_descriptors(const struct request *q, int config) {
  // Looked at before we open any: one of ours must not pass for one of theirs.
  int preserved = preserved_fds(q);
  for (int fd = 3; fd < 3 + preserved; fd++)
    if (sys_fcntl(fd, F_GETFD, 0) < 0)
      fail("%s %d: descriptor %d is not open", fd < 3 + listen_fds(q) ? "LISTEN_FDS" : "--preserve-fds", preserved, fd);
  sys_close_range(3 + (unsigned)preserved, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
  close_on_exec(logging.reader, 0);
  close_on_exec(config, 0);
}

static _Noreturn void exec_process(struct request *q, struct place *place) {
  struct container c = {0};
  struct bytes process = {0};
  struct program bound = {0};
  need_running(&c, q);
  if (q->flags[FLAG_PROCESS]) process = read_whole("--process", q->flags[FLAG_PROCESS], 0);
  if (!known_process(q, &c, process, &bound, place))
    start_python(q, "@exec", q->flags[FLAG_PROCESS] ? hand_over(process) : -1, place);
  close_on_exec(logging.reader, 1);
  leave_own_file();
  verb_exec(q, &c, &bound);
}

// Sealed, and with a program: a kept one, else Python makes one and comes back with it.
static struct bytes find_bundle(struct request *q, struct program *bound) {
  static struct place place;
  int given = config_descriptor(q);
  leave_descriptors(q, given);
  seal(q->argv, q->environment);
  if (q->verb == VERB_EXEC) exec_process(q, &place);
  struct bytes bytes = read_config(q);
  sys_close(given);
  if (q->verb == VERB_RESTORE) start_python(q, "@restore", hand_over(bytes), 0);
  if (!bytes.size || !find_program(q, bytes.data, bytes.size, bound, &place))
    start_python(q, "@compile", hand_over(bytes), &place);
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
  if (argv[1] && !strncmp(argv[1], "@program=", 9)) {
    seal(argv, environment);
    leave_own_file();
    handed_over(argv[1], &program, &config);
    argv[1] = argv[0];
    argv++;
  }
  // Which containers a pattern finds is Python's to say.
  int known = parse_command_line(&q, argv) && !wrong_choice(&q) && !q.flags[FLAG_REGEX];
  if (!known) {
    if (argv[1] && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v") || !strcmp(argv[1], "-version"))) print_version();
    start_python(&q, "@cli", -1, 0);
  }
  complete(&q);
  set_log(&q);
  logging.reader = status_descriptor(&q);
  switch (q.verb) {
    case VERB_UPDATE: if (program >= 0) verb_update(&q, program, config); start_python(&q, "@cli", -1, 0);
    case VERB_LIST: verb_list(&q);
    case VERB_PAUSE: verb_pause(&q, program);
    case VERB_RESUME: verb_resume(&q, program);
    case VERB_START: verb_start(&q, program);
    case VERB_STATE: verb_state(&q, program);
    case VERB_KILL: verb_kill(&q, program);
    case VERB_DELETE: verb_delete(&q, program);
    case VERB_EXEC: if (program >= 0) {
      struct container c = {0};
      need_running(&c, &q);
      if (program_load(&bound, program)) fail("the program for %s was compiled by another build", c.id);
      verb_exec(&q, &c, &bound);
    }
  }
  if (program < 0) bytes = find_bundle(&q, &bound);
  else {
    if (program_load(&bound, program)) fail("the program of %s was compiled by another build", q.arguments[0]);
    bytes = take_back(config);
  }
  verb_create(&q, &bound, bytes.data, bytes.size);
}
