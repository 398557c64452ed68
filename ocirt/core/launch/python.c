#include "launch/python.h"

#include <string.h>
#include <sys/resource.h>

#include "base/caller.h"
#include "base/files.h"
#include "base/log.h"
#include "base/need.h"
#include "base/trace.h"
#include "base/wait.h"
#include "launch/detach.h"

#define KEEP_SECONDS 10 // the most that the runtime waits for Python to keep a program

#define PYTHON_FILES 64 // with fewer open files Python may not start
#define PYTHON_NEEDS (16 << 20) // bytes of memory; with less, a signal may end Python at its start

// Fails the verb and names the limit if one is too small for Python.
static void need_memory_for_python(void) {
  static const struct {
    const char *name;
    int resource;
  } limits[] = {{"RLIMIT_DATA", RLIMIT_DATA}, {"RLIMIT_AS", RLIMIT_AS}};
  struct limit limit;
  for (unsigned i = 0; i < COUNT(limits); i++)
    if (!sys4(SYS_prlimit64, 0, limits[i].resource, 0, &limit) && limit.soft < PYTHON_NEEDS)
      fail("%s: found %l bytes, expected %l or more: Python compiles what the runtime has not kept, and needs them",
          limits[i].name, (int64_t)limit.soft, (int64_t)PYTHON_NEEDS);
}

// If RLIMIT_FSIZE cuts a compiled module short, CPython keeps the part and can never load it. So under a limit Python
// must write none.
const char *isolated_python(void) {
  struct limit limit;
  return !sys4(SYS_prlimit64, 0, RLIMIT_FSIZE, 0, &limit) && limit.soft != RLIM_INFINITY ? "-IB" : "-I";
}

#define NOT_LOADED 127 // the status with which the dynamic linker ends, and a shell that finds no program

// ---- Python ----

// The interpreter that pip or the build wrote into the first line of ocirt-python. If its path has spaces or more than
// 127 characters, it is in a line of shell: #!/bin/sh, then '''exec' "/path/python" "$0" "$@".
static const char *interpreter_of(char *text) {
  static const char shell[] = "#!/bin/sh\n'''exec' ";
  char *start = text + 2;
  const char *end = "\r\n";
  if (!strncmp(text, shell, sizeof shell - 1)) {
    start = text + sizeof shell - 1;
    end = *start == '"' ? "\"" : *start == '\'' ? "'" : " \n";
    start += *start == *end;
  } else if (strncmp(text, "#!", 2) || !strncmp(start, "/bin/sh\n", 8))
    return 0;
  start[strcspn(start, end)] = 0;
  return start;
}

int find_python(const char **interpreter, const char **script) {
  static char path_data[4200], head[8192];
  struct buffer path = {path_data, sizeof path_data, 0, 0};
  find_install_dir();
  put_bytes(&path, executable.path, executable.dir_size);
  put(&path, "/ocirt-python");
  *script = path_data;
  long n = read_file(AT_FDCWD, path_data, head, sizeof head);
  if (n < 0) return (int)n;
  *interpreter = interpreter_of(head);
  return 0;
}

// Lets Python inherit the descriptor.
static int kept_open(int fd) {
  sys_fcntl(fd, F_SETFD, 0);
  return fd;
}

// Writes the request for Python into a memfd. ocirt/boot.py documents its members.
static int hand_over_request(const struct request *q, int input, int output, struct asked *asked) {
  struct asked unknown = {0};
  if (!asked) asked = &unknown;
  if (!asked->request.text.used) write_request(&asked->request, q, 0, 0); // no lookup has written it
  const struct buffer *text = &asked->request.text;
  struct buffer rest = arena_buffer(times(8, sizeof asked->place));
  if (input >= 0) format(&rest, ",\"input\":%d", kept_open(input));
  if (output >= 0) format(&rest, ",\"output\":%d", kept_open(output));
  if (*asked->place) format(&rest, ",\"cache\":%q", asked->place);
  if (record.part) format(&rest, ",\"traced\":%l", (int64_t)record.time);
  put(&rest, "}");
  int fd = sys_memfd("request", MFD_NOEXEC_SEAL);
  if (fd < 0) fail("memfd_create: %e", fd);
  int error = write_all(fd, text->data, text->used);
  if (!error) error = write_all(fd, rest.data, rest.used);
  if (error) fail("hand the request to Python in a memfd: %e (RLIMIT_FSIZE, or the memory of the cgroup)", error);
  return kept_open(fd);
}

// Executes Python. Its command line ends with that of the runtime.
static _Noreturn void execute_python(struct request *q, const char *branch, int request_fd) {
  const char *script, *interpreter;
  trace_forget(); // of a child: the runtime goes on to write where this process would
  int error = find_python(&interpreter, &script);
  if (error) fail("%s: %e (it belongs beside the executable %s)", script, error, executable.path);
  if (!interpreter) fail("%s: its first line names no interpreter", script);
  int self = kept_open(executable.file >= 0 ? executable.file : sys_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0));
  BUFFER(self_text, 16);
  BUFFER(request_text, 16);
  BUFFER(as, 16);
  if (peer_name(q->argv[0])) format(&as, "--as=%s", peer_name(q->argv[0]));
  format(&self_text, "%d", self);
  format(&request_text, "%d", request_fd);
  // Paths are bytes, whatever the caller's locale is. With -X utf8 Python keeps them all, by surrogate escapes.
  const char *const own[] = {interpreter, isolated_python(), "-S", "-X", "utf8", script, branch, self_text.data,
      request_text.data, executable.path, as.used ? as.data : 0};
  size_t count = COUNT(own) + 1, used = 0;
  for (char **word = q->argv; *word; word++)
    count++;
  const char **words = arena_need(times(count, sizeof *words), "the command line");
  for (unsigned i = 0; i < COUNT(own); i++)
    if (own[i]) words[used++] = own[i];
  for (char **word = q->argv + 1; *word; word++)
    words[used++] = *word;
  error = (int)sys3(SYS_execve, interpreter, words, caller.environment);
  fail("Python interpreter %s (first line of %s): %e", interpreter, script, error);
}

_Noreturn void start_python(struct request *q, const char *branch, int input, struct asked *asked) {
  need_memory_for_python();
  trace_finish(0);
  if (caller.files.soft >= PYTHON_FILES) restore_open_files(); // the executable raises the limit again
  execute_python(q, branch, strcmp(branch, "@cli") ? hand_over_request(q, input, -1, asked) : -1);
}

// Python has ended without a program. If it has said why, it ended with a status.
static _Noreturn void fail_as_python(int pidfd) {
  int status = 0;
  wait_exit(pidfd, &status);
  int code = status >> 8;
  trace_finish(-ECANCELED);
  if (code && code != NOT_LOADED) sys_exit(code);
  if (!status) fail("%s and the Python beside it are of different builds: install ocirt again", executable.path);
  fail("Python, which compiles the program: found its end by %s %d, expected a program", code ? "status" : "signal",
      code ? code : status);
}

void compile_in_python(struct request *q, const char *branch, int input, struct asked *asked, struct program *program) {
  int pipe[2], python = -1;
  need_memory_for_python();
  long error = sys2(SYS_pipe2, pipe, O_CLOEXEC);
  if (error < 0) fail("pipe2: %e", (int)error);
  TRACED("wait", "python", "");
  error = clone_process(0, &python, -1);
  if (!error) execute_python(q, branch, hand_over_request(q, input, pipe[1], asked));
  if (error < 0) fail("start Python: clone3: %e", (int)error);
  sys_close(pipe[1]);
  sys_close(input);
  if (program_read(program, pipe[0])) fail_as_python(python);
  sys_close(python);
  q->python = pipe[0];
  q->python_pid = (int)error;
}

void await_python(struct request *q) {
  if (!q->python) return;
  TRACED("wait", "until python has kept the program", "");
  sys_poll(q->python, 0, KEEP_SECONDS * 1000);
  sys_close(q->python);
  q->python = 0;
  sys4(SYS_wait4, q->python_pid, 0, WNOHANG, 0); // if it has not ended yet, SIGCHLD tells a foreground verb
}
