// What create --late leaves open, and init takes from start (docs/architecture.md, "Late binding").

#include <string.h>

#include "base/files.h"
#include "base/memory.h"
#include "base/socket.h"
#include "executor/run.h"
#include "executor/start_protocol.h"

static int take_streams(struct run *r, const int *fds) {
  int error = 0;
  for (int fd = 0; fd < LATE_TEXTS && error >= 0; fd++) {
    error = sys_dup3(fds[fd], fd, 0);
    sys_close(fds[fd]);
  }
  return called(r, "dup3", error);
}

// Puts the texts from `text` to `end` where the program has what it was bound to at create.
static int put_values(
    struct run *r, const struct step_bind_late *s, const char *text, const char *end, uint32_t words) {
  struct texts *args = &r->program->lists[s->args], *env = &r->program->lists[s->env];
  uint32_t count = 0, kept = env->count - 1; // the last one stands for those of start
  for (const char *at = text; at < end; at += strlen(at) + 1)
    count++;
  const char **items = arena_alloc(times(plus(count, plus(kept, 2)), sizeof *items));
  if (!items || words >= count) return failing(r, "bind", items ? -EBADMSG : -ENOMEM);
  if (*text) r->program->strings[s->cwd] = text;
  memcpy(items + words + 1, env->items, kept * sizeof *items);
  *args = (struct texts){items, words};
  *env = (struct texts){items + words + 1, kept + count - 1 - words};
  for (uint32_t i = 0; i < count - 1; i++) {
    text += strlen(text) + 1;
    items[i < words ? i : i + 1 + kept] = text;
  }
  args->items[args->count] = env->items[env->count] = 0;
  return 0;
}

int do_bind_late(struct run *r, const struct step_bind_late *s) {
  struct late_values values;
  int fds[LATE_DESCRIPTORS];
  long n = receive_rights(r->starter, &values, sizeof values, fds, LATE_DESCRIPTORS);
  CLOSING int texts = fds[LATE_TEXTS];
  if (n != sizeof values) return failing(r, "recvmsg", n < 0 ? (int)n : -EBADMSG);
  struct span text = map_file(texts, UINT32_MAX);
  if (!text.text) return failing(r, "mmap", -ENOMEM);
  int error = take_streams(r, fds);
  return error ? error : put_values(r, s, text.text, text.text + text.size, values.words);
}
