// The failure of a step as one line: the JSON path, the step's sentence, the call and the reason.
#include "executor/failure.h"

#include "base/log.h"
#include "executor/channel.h"

static const struct {
  const char *sentence, *kinds;
} texts[] = {
#define X(name, code, size, sentence, kinds) {sentence, kinds},
    EACH_STEP(X)
#undef X
};

// The step's sentence with its fields in place.
static void put_sentence(struct buffer *to, const struct program *p, const struct step *step) {
  const uint64_t *fields = (const uint64_t *)(step + 1);
  for (const char *at = texts[step->code].sentence; *at; at++) {
    if (at[0] != '{') {
      put_bytes(to, at, 1);
      continue;
    }
    unsigned field = (unsigned)(at[1] - '0');
    at += 2;
    switch (texts[step->code].kinds[field]) {
    case 't':
      for (const char *text = text_of(p, fields[field]); *text; text++)
        if (*text == '\n')
          put(to, "; ");
        else
          put_bytes(to, text, 1);
      break;
    case 's': {
      static const char *const names[] = {SECTION_NAMES};
      put(to, names[fields[field]]);
      break;
    }
    default:
      put_number(to, (int64_t)fields[field]);
    }
  }
}

static const char *section_of(const struct program *p, const struct step *step) {
  static const char *const names[] = {SECTION_NAMES};
  for (unsigned i = 0; i < COUNT(names); i++)
    if (step >= section_first(p, i) && step < section_end(p, i)) return names[i];
  return 0;
}

static void remember_failure(const struct program *p, const struct step *step, int error) {
  if (failure.phase) return;
  failure.phase = section_of(p, step);
  failure.path = text_of(p, step->at);
  // These two only say that something else has failed.
  if (error != -ECANCELED && error != -ECHILD) failure.error = -error;
}

void put_failure(struct buffer *to, const struct run *r, const struct step *step, int error) {
  remember_failure(r->program, step, error);
  if (step->code == STEP_FIND_EXECUTABLE)
    logging.hint = "it is looked for in the root file system, a bare name in the directories of PATH in process.env";
  // The detail is the whole line if the call is empty (a missing program, a hook that failed).
  if (r->call && !*r->call) {
    put(to, r->detail.data);
    return;
  }
  format(to, "%s: ", text_of(r->program, step->at));
  put_sentence(to, r->program, step);
  if (r->call) format(to, ": %s", r->call);
  format(to, ": %e", error);
  put_refusal(to, error);
  if (r->detail.used) format(to, ": %s", r->detail.data);
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

void child_failed(struct run *r, const struct step *step, int error) {
  struct message message = {
      .kind = MESSAGE_FAILURE, .error = error, .step = (uint32_t)((const uint8_t *)step - r->program->steps)};
  struct buffer call = {message.call, sizeof message.call, 0, 0},
                detail = {message.detail, sizeof message.detail, 0, 0};
  put(&call, r->call ? r->call : "-");
  put_bytes(&detail, r->detail.data, r->detail.used);
  send_message(r->section == SECTION_EXEC_PROGRAM ? r->starter : r->peer, &message, 0, 0);
  sys_exit(1);
}
