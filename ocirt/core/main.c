// main: reads the command line, finds the program of the verb, and runs the verb or starts Python.

#include <limits.h>
#include <string.h>

#include "base/caller.h"
#include "base/files.h"
#include "base/log.h"
#include "base/need.h"
#include "base/processes.h"
#include "base/trace.h"
#include "build-id.h"
#include "launch/created_with.h"
#include "launch/descriptors.h"
#include "launch/detach.h"
#include "launch/documents.h"
#include "launch/python.h"
#include "program/scan.h"
#include "verbs/create.h"
#include "verbs/exec.h"
#include "verbs/kill.h"
#include "verbs/list.h"
#include "verbs/update.h"
#include "verbs/verbs.h"

// Descriptors from Python: the program, and config.json or, for update, the locked state directory.
struct handed_over {
  int program, more;
};

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

static int descriptor(const char *word, const char *text) {
  int64_t number;
  if (parse_number(text, &number) || number < 0 || number > INT_MAX)
    fail("%s: found no descriptor, expected that of a program", word);
  close_on_exec((int)number, 1);
  return (int)number;
}

// Removes the word that Python has put before the command line: `@program=PROGRAM[,MORE]`.
static char **take_handed_over(char **argv, struct handed_over *h) {
  char *word = argv[1], *text = word + strlen(HANDED_OVER), *more = strchr(text, ',');
  if (more) *more++ = 0;
  h->program = descriptor(word, text);
  if (more) h->more = descriptor(word, more);
  argv[1] = argv[0];
  return argv + 1;
}

static void print_version(void) {
  static const char text[] = "ocirt version " OCIRT_VERSION "\ncommit: " BUILD_ID "\nspec: " SPEC_VERSION "\n";
  write_all(1, text, sizeof text - 1);
  sys_exit(0);
}

static int asks_for_version(const char *word) {
  return word && (!strcmp(word, "--version") || !strcmp(word, "-v") || !strcmp(word, "-version"));
}

// Opens the record, if --trace or OCIRT_TRACE names a file, or a directory with one for each container. Only a flag
// that cannot be obeyed fails the verb.
static void begin_trace(struct request *q, size_t size) {
  const char *flag = q->flags[FLAG_TRACE], *path = flag ? flag : environment_variable(q, "OCIRT_TRACE");
  if (!path || !*path || !plain_id(q->arguments[0])) return;
  struct buffer file = arena_buffer(strlen(path) + PATH_SIZE);
  format(&file, "%s", path);
  int error = trace_open(path, size);
  if (error == -EISDIR) {
    format(&file, "/%s.trace", q->arguments[0]);
    error = trace_open(file.data, size);
  }
  int unfit = error == -ENODEV || error == -EOPNOTSUPP || error == -ESPIPE;
  const char *advice =
      error == -EEXIST    ? " (it is another user's, or no record: name a new file, or a record to append to)"
      : error == -EUCLEAN ? " (it is a record that somebody has cut: name a new file, or a whole record)"
      : unfit ? " (no regular file, or its file system shares no memory: name one elsewhere, as in /run or /var/tmp)"
              : "";
  if (error && flag) fail("--trace %s: %e%s", file.data, error, advice);
  if (error) warn("OCIRT_TRACE=%s: %e%s: nothing is recorded", file.data, error, advice);
  q->flags[FLAG_TRACE] = error ? 0 : file.data;
  BUFFER(title, LOG_LINE);
  format(
      &title, "ocirt %s %s %s", native_verbs[q->verb].name, q->arguments[0], q->n_arguments > 1 ? q->arguments[1] : "");
  record.whole = trace_begin("command", "title", "", title.data);
  const char *parent = environment_variable(q, "TRACEPARENT"); // of the engine's trace (W3C Trace Context)
  if (parent) trace_note("parent", "", parent);
}

// ---- exec ----

// Reads the documents that the program of an exec is compiled from: 1, or 0 if Python has to explain what is wrong.
static int read_inputs(const struct container *c, struct inputs *in) {
  struct span state = map_stored(c->dir, "state.json");
  struct stored_state stored;
  in->config = map_stored(c->dir, "config.json");
  if (!in->config.text || !state.text || (in->process.text && !in->process.size)) return 0;
  if (!read_stored_state(&stored, state.text, state.text + state.size) || !stored.request.size) return 0;
  char *bundle = arena_buffer(stored.bundle.size).data;
  if (!scan_string(stored.bundle, bundle)) return 0;
  in->bundle = bundle;
  in->created = stored.request;
  return 1;
}

static _Noreturn void run_exec(struct request *q, struct asked *asked) {
  struct container c = {0};
  struct inputs in = {0};
  struct program program = {0};
  need_running(&c, q);
  if (q->flags[FLAG_PROCESS]) in.process = read_document("--process", q->flags[FLAG_PROCESS], 0);
  if (!read_inputs(&c, &in) || !find_program(q, &in, &program, asked))
    compile_in_python(q, "@exec", in.process.text ? sealed_memfd(in.process) : -1, asked, &program);
  close_on_exec(logging.reader, 1);
  close_exe();
  verb_exec(q, &c, &program);
}

// ---- create, run and restore ----

static _Noreturn void run_create(struct request *q, struct asked *asked, int config_fd) {
  struct program program = {0};
  struct inputs in = {.config = read_config(q)};
  sys_close(config_fd);
  if (q->verb == VERB_RESTORE) start_python(q, "@restore", sealed_memfd(in.config), 0);
  if (!in.config.size || !find_program(q, &in, &program, asked))
    compile_in_python(q, "@compile", sealed_memfd(in.config), asked, &program);
  close_on_exec(logging.reader, 1);
  close_exe();
  verb_create(q, &program, in.config);
}

static _Noreturn void run_compiled_restore(struct request *q, struct handed_over h) {
  struct program program = {0};
  begin_trace(q, LONG_RECORD);
  if (program_load(&program, h.program)) fail("the program of %s was compiled by another build", q->arguments[0]);
  verb_create(q, &program, map_document(h.more));
}

// ---- dispatch ----

// Runs a verb that needs no program, or uses the stored one. Returns if the verb needs a new one.
static void run_short_verb(struct request *q, struct handed_over h) {
  static void (*const verbs[VERB_COUNT])(struct request *) = {[VERB_PAUSE] = verb_pause,
      [VERB_RESUME] = verb_resume,
      [VERB_START] = verb_start,
      [VERB_STATE] = verb_state,
      [VERB_KILL] = verb_kill,
      [VERB_DELETE] = verb_delete};
  if (q->verb == VERB_UPDATE && h.program < 0) start_python(q, "@cli", -1, 0);
  int only_reads = q->verb == VERB_STATE || q->verb == VERB_LIST; // engines do so again and again
  if (only_reads && q->flags[FLAG_TRACE]) warn("--trace: %s is not recorded", native_verbs[q->verb].name);
  if (!only_reads && (verbs[q->verb] || q->verb == VERB_UPDATE)) begin_trace(q, SHORT_RECORD);
  if (verbs[q->verb]) verbs[q->verb](q);
  if (q->verb == VERB_LIST) verb_list(q);
  if (q->verb == VERB_UPDATE) verb_update(q, h.program, h.more);
}

static _Noreturn void run_uncompiled(struct request *q) {
  static struct asked asked;
  int config_fd = config_descriptor(q);
  separate_descriptors(q, config_fd);
  detach_from_exe(q->argv, q->environment);
  begin_trace(q, LONG_RECORD);
  if (q->verb == VERB_EXEC) run_exec(q, &asked);
  run_create(q, &asked, config_fd);
}

int main(int argc, char **argv, char **environment) {
  static struct request q;
  struct handed_over h = {-1, -1};
  set_up_process(environment);
  q.environment = environment;
  executable.argv0 = argv[0];
  if (argv[1] && !strncmp(argv[1], HANDED_OVER, strlen(HANDED_OVER))) {
    detach_from_exe(argv, environment);
    close_exe();
    argv = take_handed_over(argv, &h);
  }
  // Python matches patterns of containers, and explains what a seccomp profile refuses.
  if (!parse_command_line(&q, argv) || q.flags[FLAG_REGEX] || q.flags[FLAG_WHY] || q.flags[FLAG_EXPLAIN] ||
      q.flags[FLAG_RECORD]) {
    if (asks_for_version(argv[1])) print_version();
    start_python(&q, "@cli", -1, 0);
  }
  complete_request(&q);
  set_log(&q);
  logging.reader = status_descriptor(&q);
  run_short_verb(&q, h);
  if (h.program >= 0) run_compiled_restore(&q, h);
  run_uncompiled(&q);
}
