// Starts Python for what the executable does not do by itself, and hands it the request.
#include "launch/python.h"

#include <string.h>
#include <sys/resource.h>

#include "base/caller.h"
#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "launch/cli_key.h"
#include "launch/detach.h"

#define PYTHON_NEEDS (16 << 20) // bytes of memory; with less its start may end in a signal

void need_memory_for_python(void) {
  static const struct {
    const char *name;
    int resource;
  } limits[] = {{"RLIMIT_DATA", RLIMIT_DATA}, {"RLIMIT_AS", RLIMIT_AS}};
  struct limit limit;
  for (unsigned i = 0; i < COUNT(limits); i++)
    if (!sys4(SYS_prlimit64, 0, limits[i].resource, 0, &limit) && limit.soft < PYTHON_NEEDS)
      fail("%s: found %l bytes, expected %l or more: Python compiles what the runtime has not kept, and needs them",
          limits[i].name, (int64_t)limit.soft, (int64_t)PYTHON_NEEDS);
}

// Of a compiled module CPython keeps what RLIMIT_FSIZE lets it write, and cannot load it from then on: with a limit it
// keeps none.
const char *isolated_python(void) {
  struct limit limit;
  return !sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) && limit.soft != RLIM_INFINITY ? "-IB" : "-I";
}

char **environment_for_python(void) {
  static char variable[48];
  struct buffer text = {variable, sizeof variable, 0, 0};
  size_t count = 0;
  while (caller.environment[count])
    count++;
  char **all = arena_alloc((count + 2) * sizeof *all);
  if (!all) fail("no memory for the environment");
  memcpy(all, caller.environment, count * sizeof *all);
  format(&text, OPEN_FILES "%l", (int64_t)caller.files.soft);
  all[count] = variable;
  return all;
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
    if (*start == '"' || *start == '\'') {
      char quote = *start++;
      end = strchr(start, quote);
    } else
      end = start + strcspn(start, " \n");
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
  put_bytes(&path, own_path, own_folder);
  put(&path, "/ocirt-python");
  *script = path_data;
  long n = read_file(AT_FDCWD, path_data, head, sizeof head);
  if (n < 0) return (int)n;
  *interpreter = interpreter_of(head);
  return 0;
}

// The command line of Python: its own words, key=value words of the request, then ours.
struct words {
  const char **items;
  size_t count;
  struct buffer text;
};

static void add(struct words *w, const char *word) {
  w->items[w->count++] = word;
}

static void add_word(struct words *w, const char *key, const char *value) {
  add(w, w->text.data + w->text.used);
  format(&w->text, "%s=%s", key, value);
  put_bytes(&w->text, "", 1);
}

static void add_number(struct words *w, const char *key, int number) {
  BUFFER(text, 16);
  put_number(&text, number);
  add_word(w, key, text.data);
}

#define KEY_MAX 64 // bytes of a key with its number

#define WORDS_BESIDE 32 // words that are neither flags nor of the command line

// Room for all words: each of the command line stands among the last, and a flag's value besides in a word of its own.
static struct words make_words(const struct request *q, const struct place *place) {
  size_t size, count = plus(count_words(q, &size), FLAG_COUNT + WORDS_BESIDE);
  if (place) size = plus(size, sizeof *place);
  for (char **word = q->environment; *word; word++)
    size = plus(size, strlen(*word));
  if (q->n_arguments) size = plus(size, strlen(q->arguments[0]));
  struct words made = {.text = arena_buffer(plus(size, times(count, KEY_MAX)))};
  for (char **word = q->argv; *word; word++)
    count++;
  made.items = arena_alloc(times(count, sizeof *made.items));
  if (!made.items) fail("no memory for the command line");
  return made;
}

static void add_request(struct words *w, const struct request *q, const struct place *place) {
  unsigned seen[FLAG_COUNT] = {0};
  const char *notify = q->verb == VERB_EXEC ? 0 : environment_variable(q, "NOTIFY_SOCKET");
  add_word(w, "verb", native_verbs[q->verb].name);
  add_word(w, "id", q->arguments[0]);
  if (place && *place->path) {
    add_word(w, "cache", place->path);
    add_word(w, "cache-key", place->key);
  }
  if (notify && *notify) add_word(w, "notify-socket", notify);
  if (runtime_directory(q)) add_word(w, "runtime-dir", runtime_directory(q));
  if (q->verb != VERB_EXEC && listen_fds(q)) add_number(w, "listen-fds", listen_fds(q));
  for (unsigned flag = 0; flag < FLAG_COUNT; flag++)
    if (q->flags[flag] && flag != FLAG_CONFIG) add_word(w, flag_names[flag], q->flags[flag]);
  for (size_t i = 0; i < q->n_values; i++) {
    BUFFER(key, KEY_MAX);
    format(&key, "%s.%d", flag_names[q->values[i].flag], (int)seen[q->values[i].flag]++);
    add_word(w, key.data, q->values[i].value);
  }
  int count = 0;
  for (char **word = q->command; word && *word; word++)
    count++;
  if (q->command) add_number(w, "command", count);
}

const char *peer_flag(const char *called) {
  static const char *const flags[] = {"--as=runc", "--as=crun"};
  const char *slash = strrchr(called, '/');
  for (unsigned i = 0; i < COUNT(flags); i++)
    if (!strcmp(slash ? slash + 1 : called, flags[i] + 5)) return flags[i];
  return 0;
}

_Noreturn void start_python(struct request *q, const char *branch, int config_fd, const struct place *place) {
  const char *script, *interpreter;
  need_memory_for_python();
  int error = find_python(&interpreter, &script);
  if (error) fail("%s: %e (it belongs beside the executable %s)", script, error, own_path);
  if (!interpreter) fail("%s: its first line names no interpreter", script);
  struct words words = make_words(q, place);
  // Paths are bytes in whatever locale the caller has; UTF-8 with escapes takes them all.
  const char *const own[] = {interpreter, isolated_python(), "-S", "-X", "utf8", script, branch};
  for (unsigned i = 0; i < COUNT(own); i++)
    add(&words, own[i]);
  int self = own_file >= 0 ? own_file : sys_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
  sys_fcntl(self, F_SETFD, 0);
  add_number(&words, "self", self);
  if (config_fd >= 0) {
    sys_fcntl(config_fd, F_SETFD, 0);
    add_number(&words, "config", config_fd);
  }
  if (strcmp(branch, "@cli")) add_request(&words, q, place);
  add(&words, "--");
  add(&words, own_path);
  if (q->holes) {
    add(&words, q->holes);
    hold_holes(q->holes, 0);
  }
  if (peer_flag(q->argv[0])) add(&words, peer_flag(q->argv[0]));
  for (char **word = q->argv + 1; *word; word++)
    add(&words, *word);
  error = (int)sys3(SYS_execve, interpreter, words.items, environment_for_python());
  fail("Python interpreter %s (first line of %s): %e", interpreter, script, error);
}
