#include "launch/request_json.h"

#include <string.h>

#include "base/need.h"
#include "launch/descriptors.h"

static void put_name(struct buffer *to, const char *name) {
  format(to, to->data[to->used - 1] == '{' ? "%j:" : ",%j:", name);
}

static void put_member(struct buffer *to, const char *name, const char *value) {
  put_name(to, name);
  format(to, "%q", value);
}

// Parses the number of a user or a group: 1, or 0 if the text is not one.
static int parse_id(const char *text, size_t size, int64_t *id) {
  *id = 0;
  if (!size || size > 10) return 0;
  for (size_t i = 0; i < size; i++) {
    if (text[i] < '0' || text[i] > '9') return 0;
    *id = *id * 10 + (text[i] - '0');
  }
  return *id < UINT32_MAX; // (uid_t)-1 stands for no user
}

// Parses UID or UID:GID: how many numbers it has, 0 if it is neither.
static int parse_user(const char *text, int64_t ids[2]) {
  size_t size = strcspn(text, ":");
  if (!parse_id(text, size, &ids[0])) return 0;
  if (!text[size]) return 1;
  return parse_id(text + size + 1, strlen(text + size + 1), &ids[1]) ? 2 : 0;
}

static void put_value(struct request_json *r, unsigned flag, const char *value) {
  int form = flag_kinds[flag].form;
  int64_t ids[2] = {0};
  int count = form == USER_FORM ? parse_user(value, ids) : form == ID_FORM && parse_id(value, strlen(value), ids);
  if (form == VARIABLE_FORM && (*value == '=' || !strchr(value, '='))) r->is_refused = 1;
  if (!count)
    format(&r->text, "%q", value);
  else if (form == ID_FORM)
    format(&r->text, "%l", ids[0]);
  else
    format(&r->text, count == 1 ? "{\"uid\":%l}" : "{\"uid\":%l,\"gid\":%l}", ids[0], ids[1]);
}

// Writes all values of a repeatable flag.
static void put_values(struct request_json *r, const struct request *q, unsigned flag) {
  int count = 0;
  for (size_t i = 0; i < q->n_values; i++) {
    if (q->values[i].flag != flag) continue;
    if (!count) put_name(&r->text, flag_kinds[flag].name);
    put(&r->text, count++ ? "," : "[");
    put_value(r, flag, q->values[i].value);
  }
  if (count) put(&r->text, "]");
}

static void put_flags(struct request_json *r, const struct request *q, int part) {
  for (unsigned flag = 0; flag < FLAG_COUNT; flag++) {
    if (flag_kinds[flag].part != part) continue;
    if (flag_kinds[flag].repeats == VALUES) put_values(r, q, flag);
    if (!q->flags[flag]) continue;
    put_name(&r->text, flag_kinds[flag].name);
    put_value(r, flag, q->flags[flag]);
  }
}

// Writes the key: a kept program serves only a request with the same one.
static void put_key(struct request_json *r, const struct request *q, const struct inputs *in, const char *boot) {
  struct buffer *to = &r->text;
  put_member(to, "verb", native_verbs[q->verb].name);
  put_flags(r, q, KEY_PART);
  if (q->verb != VERB_EXEC && listen_fds(q)) format(to, ",\"listen-fds\":%d", listen_fds(q));
  if (runtime_directory(q)) put_member(to, "runtime-dir", runtime_directory(q));
  if (boot) put_member(to, "boot", boot);
  if (!in || !in->bundle) return;
  put_name(to, "created");
  put_bytes(to, in->created.text, in->created.size);
}

// Writes the values that a kept program is bound to.
static void put_bound(struct request_json *r, const struct request *q, const struct inputs *in) {
  struct buffer *to = &r->text;
  const char *notify = q->verb == VERB_EXEC ? 0 : environment_variable(q, "NOTIFY_SOCKET");
  if (q->n_arguments) put_member(to, "id", q->arguments[0]);
  put_flags(r, q, BOUND_PART);
  if (notify && *notify) put_member(to, "notify-socket", notify);
  if (in && in->bundle) put_member(to, "bundle", in->bundle);
  if (!q->command || !*q->command) return;
  put_name(to, "command");
  for (char **word = q->command; *word; word++)
    format(to, word == q->command ? "[%q" : ",%q", *word);
  put(to, "]");
}

static size_t open_object(struct buffer *to, const char *name) {
  put_name(to, name);
  put(to, "{");
  return to->used - 1;
}

static struct span close_object(struct buffer *to, size_t start) {
  put(to, "}");
  return (struct span){to->data + start, (uint32_t)(to->used - start)};
}

void write_request(struct request_json *r, const struct request *q, const struct inputs *in, const char *boot) {
  for (size_t size = 1 << 12;; size = times(size, 4)) {
    struct buffer *to = &r->text;
    *r = (struct request_json){.text = arena_buffer(size)};
    put(to, "{");
    size_t start = open_object(to, "key");
    put_key(r, q, in, boot);
    r->key = close_object(to, start);
    start = open_object(to, "bound");
    put_bound(r, q, in);
    r->bound = close_object(to, start);
    start = open_object(to, "other");
    put_flags(r, q, OTHER_PART);
    close_object(to, start);
    if (!to->full) return;
    arena_pop(to);
  }
}
