#include "launch/systemd_path.h"

#include <string.h>

#include "steps.h"

// The cgroup of a slice, /a.slice/a-b.slice for `a-b.slice`: 1, or 0 if the text does not name a slice.
static int slice_path(struct span slice, struct span *path) {
  static char data[UNIT_PATH_MAX + 1];
  static const char suffix[] = ".slice";
  uint32_t used = 0, size = sizeof suffix - 1;
  *path = (struct span){data, 0};
  if (!slice.size) return 1;
  if (slice.size <= size || memcmp(slice.text + slice.size - size, suffix, size)) return 0;
  uint32_t stem = slice.size - size;
  if (stem == 1 && slice.text[0] == '-') return 1;
  for (uint32_t at = 0, begun = 0; at <= stem; at++) {
    if (at < stem && slice.text[at] != '-') continue;
    if (at == begun || 1 + at + size > UNIT_PATH_MAX - used) return 0;
    data[used++] = '/';
    memcpy(data + used, slice.text, at);
    memcpy(data + used + at, suffix, size);
    used += at + size;
    begun = at + 1;
  }
  path->size = used;
  return 1;
}

int unit_part(struct span text, unsigned part, struct span *found) {
  struct span parts[4] = {{text.text, 0}};
  unsigned n = 0;
  for (uint32_t at = 0; at < text.size; at++) {
    if (text.text[at] == '/') return 0;
    if (text.text[at] != ':') {
      parts[n].size++;
      continue;
    }
    if (++n == 3) return 0;
    parts[n].text = text.text + at + 1;
  }
  if (part > 3 || n != 2 || !parts[2].size || !slice_path(parts[0], &parts[3])) return 0;
  *found = parts[part];
  return 1;
}
