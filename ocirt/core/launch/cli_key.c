// The command line as programs are looked up by it: what of it a program depends on (part of the key), and what is a
// value of it like those of config.json, which a program is bound to: $id, $cwd, $env. Python has the same names for
// them, in model/request.py and model/exec.py.
#include "launch/cli_key.h"

#include <string.h>

static int is_utf8(const char *text) {
  const char *end = text + strlen(text);
  for (size_t length; text < end; text += length)
    if (!(length = utf8_character(text, end))) return 0;
  return 1;
}

// A value that a program is for, as JSON. 0: it cannot be told from another one so.
static int put_value(struct buffer *to, const char *name, const char *value) {
  format(to, " %s=%j", name, value);
  return is_utf8(value);
}

// The number of a user or a group: 1, or 0 where it is none.
static int parse_id(const char *text, size_t size, int64_t *id) {
  *id = 0;
  if (!size || size > 10) return 0;
  for (size_t i = 0; i < size; i++) {
    if (text[i] < '0' || text[i] > '9') return 0;
    *id = *id * 10 + (text[i] - '0');
  }
  return *id < UINT32_MAX; // which is no id: -1 in C
}

// UID or UID:GID: how many there are, 0 where it is neither.
static int parse_user(const char *text, int64_t ids[2]) {
  size_t size = strcspn(text, ":");
  if (!parse_id(text, size, &ids[0])) return 0;
  if (!text[size]) return 1;
  return parse_id(text + size + 1, strlen(text + size + 1), &ids[1]) ? 2 : 0;
}

// Flags that repeat. What Python refuses in them is Python's to explain: nothing is kept for it.
static int put_repeated(struct buffer *to, const struct request *q) {
  int64_t id;
  int env = 0;
  for (size_t i = 0; i < q->n_values; i++) {
    const char *value = q->values[i].value;
    switch (q->values[i].flag) {
    case FLAG_ENV:
      if (!*value || *value == '=' || !strchr(value, '=')) return 0;
      if (!env++) put(to, " env");
      break;
    case FLAG_ADDITIONAL_GIDS:
      if (!parse_id(value, strlen(value), &id)) return 0;
      put(to, " additional-gids");
      break;
    case FLAG_CAP:
      put(to, " cap");
      break;
    case FLAG_CGROUP:
      if (!put_value(to, "cgroup", value)) return 0;
    }
  }
  return 1;
}

int put_words(struct buffer *to, const struct request *q) {
  int64_t ids[2];
  put(to, native_verbs[q->verb].name);
  for (unsigned flag = 0; flag < FLAG_COUNT; flag++) {
    const char *value = q->flags[flag];
    if (!value || flag_keys[flag] == IGNORED) continue;
    if (flag == FLAG_USER) {
      int count = parse_user(value, ids);
      if (!count) return 0;
      put(to, count == 1 ? " user=uid" : " user=uid:gid");
    } else if (flag_keys[flag] == IN_FULL) {
      if (!put_value(to, flag_names[flag], value)) return 0;
    } else if (*value)
      format(to, " %s", flag_names[flag]);
    else
      return 0;
  }
  if (q->verb == VERB_EXEC) {
    if (!put_repeated(to, q)) return 0;
    if (q->command && *q->command) put(to, " command");
  } else {
    put(to, " listen-fds=");
    put_number(to, listen_fds(q));
    const char *notify = environment_variable(q, "NOTIFY_SOCKET");
    if (notify && *notify) put(to, " notify-socket");
  }
  if (runtime_directory(q) && !put_value(to, "runtime-dir", runtime_directory(q))) return 0;
  return !to->full;
}

size_t count_words(const struct request *q, size_t *size) {
  size_t count = 0;
  *size = 0;
  for (char **word = q->command; word && *word; word++, count++)
    *size = plus(*size, strlen(*word) + 1);
  for (size_t i = 0; i < q->n_values; i++, count++)
    *size = plus(*size, strlen(q->values[i].value) + 1);
  for (unsigned flag = 0; flag < FLAG_COUNT; flag++)
    if (q->flags[flag]) *size = plus(*size, strlen(q->flags[flag]) + 1);
  return count;
}

static void add_word(struct scan *s, struct leaf *list, const char *word) {
  s->items[s->n_items++] = (struct span){word, (uint32_t)strlen(word)};
  list->count++;
}

void list_words(struct lookup *l) {
  l->command = (struct leaf){.kind = LEAF_LIST, .first = l->scan.n_items};
  for (char **word = l->q->command; word && *word; word++)
    add_word(&l->scan, &l->command, *word);
  l->env = (struct leaf){.kind = LEAF_LIST, .first = l->scan.n_items};
  for (size_t i = 0; i < l->q->n_values; i++)
    if (l->q->values[i].flag == FLAG_ENV) add_word(&l->scan, &l->env, l->q->values[i].value);
}

static int list_value(const struct leaf *list, struct leaf *value) {
  *value = *list;
  return list->count > 0;
}

// `flag[7]`: the value of that number; null where the name is not of that form.
static const char *indexed(const struct request *q, struct span name, unsigned flag) {
  size_t size = strlen(flag_names[flag]);
  char digits[8] = {0};
  int64_t number;
  if (name.size < size + 3 || name.size - size - 2 >= sizeof digits || memcmp(name.text, flag_names[flag], size) ||
      name.text[size] != '[')
    return 0;
  memcpy(digits, name.text + size + 1, name.size - size - 2);
  if (parse_number(digits, &number) || number < 0) return 0;
  for (size_t i = 0; i < q->n_values; i++)
    if (q->values[i].flag == flag && !number--) return q->values[i].value;
  return 0;
}

int word_value(const struct lookup *l, struct span name, struct leaf *value) {
  const struct request *q = l->q;
  const char *text = is_named(name, "id") ? q->arguments[0] : 0, *gid = indexed(q, name, FLAG_ADDITIONAL_GIDS);
  int64_t ids[2] = {0};
  if (is_named(name, "command")) return list_value(&l->command, value);
  if (is_named(name, "env")) return list_value(&l->env, value);
  if (gid || is_named(name, "user.uid") || is_named(name, "user.gid")) {
    int which = is_named(name, "user.gid");
    if (gid ? !parse_id(gid, strlen(gid), &ids[0])
            : !q->flags[FLAG_USER] || parse_user(q->flags[FLAG_USER], ids) <= which)
      return 0;
    *value = (struct leaf){.kind = LEAF_NUMBER, .number = ids[which]};
    return 1;
  }
  if (l->bundle && is_named(name, "bundle")) text = l->bundle;
  if (!text) text = indexed(q, name, FLAG_CAP);
  for (unsigned flag = 0; !text && flag < FLAG_COUNT; flag++)
    if (is_named(name, flag_names[flag])) text = q->flags[flag];
  if (!text) return 0;
  *value = (struct leaf){.kind = LEAF_TEXT, .text = text, .size = (uint32_t)strlen(text)};
  return 1;
}
