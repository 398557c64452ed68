#include "launch/request.h"

#include <string.h>

#include "base/files.h"
#include "base/log.h"
#include "base/need.h"

const char *environment_variable(const struct request *q, const char *name) {
  size_t length = strlen(name);
  for (char **at = q->environment; *at; at++)
    if (!strncmp(*at, name, length) && (*at)[length] == '=') return *at + length + 1;
  return 0;
}

const char *runtime_directory(const struct request *q) {
  const char *manager = q->flags[FLAG_CGROUP_MANAGER], *directory = environment_variable(q, "XDG_RUNTIME_DIR");
  int automatic = (!manager || !strcmp(manager, "auto")) && sys0(SYS_geteuid);
  int asks = automatic || q->flags[FLAG_SYSTEMD_CGROUP] || (manager && !strcmp(manager, "systemd"));
  return asks && directory && *directory ? directory : 0;
}

static const struct flag *find_flag(const struct flag *table, const char *name, size_t length) {
  for (; table->name; table++) {
    if (strlen(table->name) == length && !memcmp(table->name, name, length)) return table;
    if (length == 1 && table->letter == *name) return table;
  }
  return 0;
}

static const char *current_directory(void) {
  static char here[PATH_SIZE];
  long n = sys2(SYS_getcwd, here, sizeof here);
  if (n < 0) fail("the current directory: %e", (int)n);
  if (here[0] != '/') fail("the current directory: found outside of the root directory, expected beneath it");
  return here;
}

// Adds a path to the value of --layer, the only flag that joins several paths.
static const char *add_path(const char *before, const char *path) {
  const char *here = path[0] == '/' ? "" : current_directory();
  size_t escaped = times(2, plus(strlen(here), strlen(path)));
  struct buffer paths = arena_buffer(plus(before ? strlen(before) : 0, plus(escaped, 2)));
  if (before) format(&paths, "%s:", before);
  put_layer(&paths, here);
  if (*here) put(&paths, "/");
  put_layer(&paths, path);
  return paths.data;
}

// Adds a value of a repeatable flag. The words that are left limit how many values can follow.
static void add_value(struct request *q, unsigned flag, const char *value, char **rest) {
  if (!q->values) {
    size_t count = 1;
    while (*rest++)
      count++;
    q->values = arena_need(times(count, sizeof *q->values), "the command line");
  }
  q->values[q->n_values].flag = (unsigned char)flag;
  q->values[q->n_values++].value = value;
}

static int is_choice(const char *const *choices, const char *value) {
  while (*choices && strcmp(*choices, value))
    choices++;
  return *choices != 0;
}

// Takes a switch, with a truth value as in Go's flags. Returns 1, or 0 if anything else follows it.
static int take_switch(struct request *q, const struct flag *flag, const char *value) {
  int on = !value || !strcmp(value, "=true") || !strcmp(value, "=1");
  if (!on && strcmp(value, "=false") && strcmp(value, "=0")) return 0;
  q->flags[flag->id] = on ? "1" : flag_kinds[flag->id].form == EITHER_FORM ? "0" : 0;
  return 1;
}

// Takes the flag at argv[0] and returns its number of words, 0 if the table lacks the flag or the value is not one of
// its choices.
static int take_flag(struct request *q, const struct flag *table, char **argv) {
  const char *name = argv[0] + 1 + (argv[0][1] == '-'), *value = strchr(name, '=');
  const struct flag *flag = find_flag(table, name, value ? (size_t)(value - name) : strlen(name));
  if (!flag) return 0;
  if (!flag->takes_value) return take_switch(q, flag, value);
  if (!value && !argv[1]) return 0;
  const char *given = value ? value + 1 : argv[1];
  int words = value ? 1 : 2;
  if (!*given && flag->repeats == ONCE) {
    // As in runc, an empty value counts as not given. Python refuses an empty root directory or record.
    q->flags[flag->id] = 0;
    return flag->id == FLAG_ROOT || flag->id == FLAG_TRACE ? 0 : words;
  }
  if (flag->choices && !is_choice(flag->choices, given)) return 0;
  if (flag->repeats == VALUES)
    add_value(q, flag->id, given, argv);
  else
    q->flags[flag->id] = flag->repeats == PATHS ? add_path(q->flags[flag->id], given) : given;
  return words;
}

static int is_flag(const char *word) { return word[0] == '-' && word[1]; }

static const struct verb *find_verb(const char *name) {
  const struct verb *verb = native_verbs;
  while (verb->name && strcmp(verb->name, name))
    verb++;
  return verb->name ? verb : 0;
}

// Parses the words after the verb: flags and arguments in any order, and after `--` only arguments.
static int parse_arguments(struct request *q, const struct verb *verb, char **argv) {
  int only_arguments = 0;
  while (*argv && !q->command) {
    if (!only_arguments && !strcmp(*argv, "--")) {
      only_arguments = 1;
      argv++;
    } else if (!only_arguments && is_flag(*argv)) {
      int took = take_flag(q, verb->flags, argv);
      if (!took) return 0;
      argv += took;
    } else {
      if (q->n_arguments == verb->arguments_max) return 0;
      q->arguments[q->n_arguments++] = *argv++;
      // The rest is the command, except for a `--` before it, which runc's manual writes.
      if (verb->command) q->command = argv + (*argv && !strcmp(*argv, "--"));
    }
  }
  return q->n_arguments >= verb->arguments_min;
}

int parse_command_line(struct request *q, char **argv) {
  q->argv = argv;
  for (argv++; *argv && is_flag(*argv);) {
    int took = strcmp(*argv, "--") ? take_flag(q, global_flags, argv) : 0;
    if (!took) return 0;
    argv += took;
  }
  const struct verb *verb = *argv ? find_verb(*argv) : 0;
  if (!verb) return 0;
  q->verb = (int)(verb - native_verbs);
  return parse_arguments(q, verb, argv + 1);
}

const char *peer_name(const char *argv0) {
  static const char *const names[] = {"runc", "crun"};
  const char *slash = strrchr(argv0, '/');
  for (unsigned i = 0; i < COUNT(names); i++)
    if (!strcmp(slash ? slash + 1 : argv0, names[i])) return names[i];
  return 0;
}

// Makes the flag's path absolute, without a slash at its end. Fails if it is longer than the kernel accepts.
static const char *absolute(unsigned flag, const char *path) {
  const char *here = path[0] == '/' ? "" : current_directory();
  while (path[0] == '.' && path[1] == '/')
    path += 2;
  struct buffer out = arena_buffer(plus(strlen(here), plus(strlen(path), 1)));
  format(&out, *here ? "%s/%s" : "%s%s", here, strcmp(path, ".") ? path : "");
  while (out.used > 1 && out.data[out.used - 1] == '/')
    out.data[--out.used] = 0;
  if (out.used >= PATH_SIZE)
    fail(
        "--%s: found a path of %l bytes, expected at most %d", flag_kinds[flag].name, (int64_t)out.used, PATH_SIZE - 1);
  return out.data;
}

// The root directory without --root, as default_root() of state_dir.py computes it.
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

void complete_request(struct request *q) {
  if (!q->flags[FLAG_AS]) q->flags[FLAG_AS] = peer_name(q->argv[0]);
  static const unsigned char paths[] = {FLAG_ROOT, FLAG_LOG, FLAG_BUNDLE, FLAG_CONSOLE_SOCKET, FLAG_PIDFD_SOCKET,
      FLAG_PID_FILE, FLAG_TRACE, FLAG_CONFIG, FLAG_UPPER, FLAG_WORK, FLAG_PROCESS};
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
