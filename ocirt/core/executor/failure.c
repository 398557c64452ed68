// The failure of a step as one line: the JSON path, the step's sentence, the call and the reason.
#include "executor/failure.h"

#include <string.h>

#include "base/log.h"
#include "base/trace.h"
#include "executor/channel.h"

static const struct {
  const char *sentence, *kinds, *doing, *name;
} texts[] = {
#define X(name, code, size, sentence, kinds, ...) {sentence, kinds, __VA_ARGS__},
    EACH_STEP(X)
#undef X
};

static const char *const sections[] = {SECTION_NAMES}, *const events[] = {EVENT_NAMES};

static void put_in_line(struct buffer *to, const char *text) {
  for (;; text++) {
    size_t plain = strcspn(text, "\n");
    put_bytes(to, text, plain);
    text += plain;
    if (!*text) return;
    put(to, "; ");
  }
}

// The step's sentence with its fields in place.
static void put_sentence(struct buffer *to, const struct program *p, const struct step *step) {
  const uint64_t *fields = (const uint64_t *)(step + 1);
  for (const char *at = texts[step->code].sentence;; at += strlen("{0}")) {
    size_t plain = strcspn(at, "{");
    put_bytes(to, at, plain);
    at += plain;
    if (!*at) return;
    unsigned field = (unsigned)(at[1] - '0');
    char kind = texts[step->code].kinds[field];
    if (kind == 't')
      put_in_line(to, text_of(p, fields[field]));
    else if (kind == 's' || kind == 'e')
      put(to, (kind == 's' ? sections : events)[fields[field]]);
    else
      put_number(to, (int64_t)fields[field]);
  }
}

static const char *section_of(const struct program *p, const struct step *step) {
  for (unsigned i = 0; i < COUNT(sections); i++)
    if (step >= section_first(p, i) && step < section_end(p, i)) return sections[i];
  return 0;
}

static void remember_failure(const struct program *p, const struct step *step, int error) {
  if (failure.phase) return;
  failure.phase = section_of(p, step);
  failure.path = text_of(p, step->at);
  // These two only say that something else has failed.
  if (error != -ECANCELED && error != -ECHILD) failure.error = -error;
}

int put_failure(struct buffer *to, const struct run *r, const struct step *step, int error) {
  remember_failure(r->program, step, error);
  if (step->code == STEP_FIND_EXECUTABLE)
    logging.hint = "it is looked for in the root file system, a bare name in the directories of PATH in process.env";
  // The detail is the whole line if the call is empty (a missing program, a hook that failed).
  if (r->call && !*r->call) {
    put(to, r->detail.data);
    return -1;
  }
  format(to, "%s: ", text_of(r->program, step->at));
  put_sentence(to, r->program, step);
  if (r->call) format(to, ": %s", r->call);
  format(to, ": %e", error);
  if (r->detail.used) format(to, ": %s", r->detail.data);
  put_refusal(to, error);
  return -1;
}

int whole_failure(struct run *r, int error, const char *pattern, ...) {
  BUFFER(text, LOG_LINE);
  va_list arguments;
  va_start(arguments, pattern);
  vformat(&text, pattern, arguments); // before forget_detail, because an argument may be the detail
  va_end(arguments);
  forget_detail(r);
  return failing_because(r, "", error, text.data);
}

// Who reports what this child says.
static int other_side(const struct run *r) { return r->section == SECTION_EXEC_PROGRAM ? r->starter : r->peer; }

// --debug: the runtime prints what its child does, too, because the child may not reach the log any more.
static void tell(const struct run *r, const char *path, const char *sentence) {
  int is_child = r->section == SECTION_STAGE || r->section == SECTION_INIT || r->section == SECTION_EXEC_PROGRAM;
  struct message message = {.kind = MESSAGE_LINE};
  struct buffer line = {message.detail, sizeof message.detail, 0, 0};
  format(&line, "%s: %s: %s", sections[r->section], path, sentence);
  if (!is_child)
    log_line("debug", message.detail);
  else if (!record.filtered)
    send_message(other_side(r), &message, 0, 0);
}

struct trace_event *begin_step(const struct run *r, const struct step *step) {
  if (!record.part && !logging.debug) return 0;
  BUFFER(sentence, SHOWN);
  const char *path = text_of(r->program, step->at);
  put_sentence(&sentence, r->program, step);
  if (logging.debug) tell(r, path, sentence.data);
  return trace_begin(texts[step->code].doing, texts[step->code].name, path, sentence.data);
}

void child_failed(struct run *r, int error) {
  struct message message = {
      .kind = MESSAGE_FAILURE, .error = error, .step = (uint32_t)((const uint8_t *)r->step - r->program->steps)};
  struct buffer call = {message.call, sizeof message.call, 0, 0},
                detail = {message.detail, sizeof message.detail, 0, 0};
  put(&call, r->call ? r->call : "-");
  put_bytes(&detail, r->detail.data, r->detail.used);
  send_message(other_side(r), &message, 0, 0);
  sys_exit(1);
}
