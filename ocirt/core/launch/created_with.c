#include "launch/created_with.h"

#include <string.h>

#include "program/scan.h"

// The end of the value at `at`; null if it has none, or if there is no value.
static const char *value_end(const char *at, const char *end) {
  int depth = 0;
  if (at == end || strchr(",:]}", *at)) return 0;
  do {
    char sign = *at++;
    if (sign == '{' || sign == '[')
      depth++;
    else if (sign == '}' || sign == ']')
      depth--;
    else if (sign == '"') {
      while (at < end && *at != '"')
        at += *at == '\\' ? 2 : 1;
      if (at++ >= end) return 0;
    } else if (!depth)
      while (at < end && !strchr(",]} \t\n\r", *at))
        at++;
  } while (depth && at < end);
  return depth ? 0 : at;
}

static int is_string(struct span value) { return value.size && *value.text == '"'; }

int read_stored_state(struct stored_state *s, const char *at, const char *end) {
  struct {
    const char *name;
    struct span *value;
  } wanted[] = {{"ociVersion", &s->oci_version}, {"bundle", &s->bundle}, {"rootfs", &s->rootfs},
      {"annotations", &s->annotations}, {"pausedFile", &s->paused_file}, {"request", &s->request}};
  *s = (struct stored_state){0};
  if (at == end || *at != '{') return 0;
  do {
    struct span key = {skip_space(at + 1, end), 0};
    if (key.text == end || *key.text != '"' || !(at = value_end(key.text, end))) return 0;
    key.size = (uint32_t)(at - key.text);
    at = skip_space(at, end);
    if (at == end || *at != ':') return 0;
    struct span value = {skip_space(at + 1, end), 0};
    if (!(at = value_end(value.text, end))) return 0;
    value.size = (uint32_t)(at - value.text);
    for (unsigned i = 0; i < COUNT(wanted); i++)
      if (key.size - 2 == strlen(wanted[i].name) && !memcmp(key.text + 1, wanted[i].name, key.size - 2))
        *wanted[i].value = value;
    at = skip_space(at, end);
  } while (at < end && *at == ',');
  return at < end && *at == '}' && skip_space(at + 1, end) == end && is_string(s->oci_version) &&
         is_string(s->bundle) && is_string(s->rootfs);
}
