// The command line as the executable reads it.
#include "launch/request.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"

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

// Descriptors that a service manager passes on, sd_listen_fds(3): ours only if they are meant for this process.
int listen_fds(const struct request *q) {
  const char *fds = environment_variable(q, "LISTEN_FDS"), *pid = environment_variable(q, "LISTEN_PID");
  int64_t count, meant;
  if (!fds || !pid || parse_number(fds, &count) || parse_number(pid, &meant) || meant != sys0(SYS_getpid)) return 0;
  return count < 0 || count > 65536 ? 0 : (int)count;
}

static const struct flag *find_flag(const struct flag *table, const char *name, size_t length) {
  for (; table->name; table++) {
    if (strlen(table->name) == length && !memcmp(table->name, name, length)) return table;
    if (length == 1 && table->letter == *name) return table;
  }
  return 0;
}

// The paths of the one flag that repeats with paths (--layer), as they come.
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

// A word of its own for each; the words that are left are as many as there can be.
static void add_value(struct request *q, unsigned flag, const char *value, char **rest) {
  if (!q->values) {
    size_t count = 1;
    while (*rest++)
      count++;
    q->values = arena_alloc(times(count, sizeof *q->values));
    if (!q->values) fail("no memory for the command line");
  }
  q->values[q->n_values].flag = (unsigned char)flag;
  q->values[q->n_values++].value = value;
}

static int is_choice(const char *const *choices, const char *value) {
  while (*choices && strcmp(*choices, value))
    choices++;
  return *choices != 0;
}

// One flag at argv[0]: how many words it took, 0 if it is not one of the table or its value is none of the flag's
// choices.
static int take_flag(struct request *q, const struct flag *table, char **argv) {
  const char *name = argv[0] + 1 + (argv[0][1] == '-'), *value = strchr(name, '=');
  const struct flag *flag = find_flag(table, name, value ? (size_t)(value - name) : strlen(name));
  if (!flag) return 0;
  if (!flag->takes_value) {
    // As Go's flags: a switch may be given a truth value.
    if (!value || !strcmp(value, "=true") || !strcmp(value, "=1"))
      q->flags[flag->id] = "1";
    else if (!strcmp(value, "=false") || !strcmp(value, "=0"))
      q->flags[flag->id] = 0;
    else
      return 0;
    return 1;
  }
  if (!value && !argv[1]) return 0;
  const char *given = value ? value + 1 : argv[1];
  if (!*given && flag->repeats == ONCE) {
    // As with runc: none is given. An empty root directory is Python's to explain.
    q->flags[flag->id] = 0;
    return flag->id == FLAG_ROOT ? 0 : value ? 1 : 2;
  }
  if (flag->choices && !is_choice(flag->choices, given)) return 0;
  if (flag->repeats == VALUES)
    add_value(q, flag->id, given, argv);
  else
    q->flags[flag->id] = flag->repeats == PATHS ? add_path(q->flags[flag->id], given) : given;
  return value ? 1 : 2;
}

static int is_flag(const char *word) {
  return word[0] == '-' && word[1];
}

const char *current_directory(void) {
  static char here[4096];
  long n = sys2(SYS_getcwd, here, sizeof here);
  if (n < 0) fail("the current directory: %e", (int)n);
  if (here[0] != '/') fail("the current directory: found outside of the root directory, expected beneath it");
  return here;
}

int parse_command_line(struct request *q, char **argv) {
  q->argv = argv;
  for (argv++; *argv && is_flag(*argv);) {
    int took = strcmp(*argv, "--") ? take_flag(q, global_flags, argv) : 0;
    if (!took) return 0;
    argv += took;
  }
  if (!*argv) return 0;
  const struct verb *verb = native_verbs;
  while (verb->name && strcmp(verb->name, *argv))
    verb++;
  if (!verb->name) return 0;
  q->verb = (int)(verb - native_verbs);
  int only_arguments = 0;
  for (argv++; *argv;) {
    if (!only_arguments && !strcmp(*argv, "--")) {
      only_arguments = 1;
      argv++;
      continue;
    }
    if (!only_arguments && is_flag(*argv)) {
      int took = take_flag(q, verb->flags, argv);
      if (!took) return 0;
      argv += took;
      continue;
    }
    if (q->n_arguments == verb->arguments_max) return 0;
    q->arguments[q->n_arguments++] = *argv++;
    if (verb->command) {
      // The command's own words from here on, but for the -- that runc's manual has before them.
      q->command = argv + (*argv && !strcmp(*argv, "--"));
      break;
    }
  }
  return q->n_arguments >= verb->arguments_min;
}

// What is no number is Python's to explain; nothing is preserved until then.
int preserved_fds(const struct request *q) {
  int64_t count = 0, listen = q->verb == VERB_EXEC ? 0 : listen_fds(q);
  if (q->flags[FLAG_PRESERVE_FDS] && (parse_number(q->flags[FLAG_PRESERVE_FDS], &count) || count < 0 || count > 65536))
    count = 0;
  return (int)(listen + count);
}

void close_on_exec(int fd, int yes) {
  if (fd >= 0) sys_fcntl(fd, F_SETFD, yes ? FD_CLOEXEC : 0);
}

// The same for what stands in the place of descriptors that are not open.
void hold_holes(const char *holes, int yes) {
  int fd = 0;
  for (const char *at = holes + strlen(HOLES); *at; at++) {
    if (*at >= '0' && *at <= '9' && fd < 1 << 20) {
      fd = 10 * fd + (*at - '0');
      continue;
    }
    close_on_exec(fd, yes);
    fd = 0;
  }
}
