// What the sources of the shared library refer to in others, and tests do not reach.
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

const char *environment_variable(const struct request *q, const char *name) {
  size_t length = strlen(name);
  for (char **at = q->environment; *at; at++)
    if (!strncmp(*at, name, length) && (*at)[length] == '=') return *at + length + 1;
  return 0;
}

const char *runtime_directory(const struct request *q) {
  return q->flags[FLAG_SYSTEMD_CGROUP] ? environment_variable(q, "XDG_RUNTIME_DIR") : 0;
}

int listen_fds(const struct request *q) { (void)q; return 0; }

int sys_poll(int fd, short events, int milliseconds) { (void)fd; (void)events; (void)milliseconds; return 1; }

int is_paused(const struct program *p) { (void)p; return 0; }

void put_paused_file(struct buffer *to, const struct program *p) { (void)to; (void)p; }

int64_t oom_kills(const struct program *p) { (void)p; return 0; }
