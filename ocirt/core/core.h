// What the files of the core share. One process at a time runs this code, without threads.
#pragma once
#include "sys.h"

#include <stdarg.h>

#include "journal.h"
#include "program.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define LOG_LINE 8192
#define PATH_SIZE 4096 // of a path with its NUL, for the kernel

// ---- text.c: strings without libc's stdio ----

// A buffer that never overflows: what does not fit is cut, and `full` says so.
struct buffer {
  char *data;
  size_t size, used;
  int full;
};

#define BUFFER(name, capacity) \
  char name##_data[capacity]; \
  struct buffer name = {name##_data, sizeof name##_data, 0, 0}; \
  name##_data[0] = 0

// The same in memory that is not touched before it is used: for what is seldom needed in a function that is not entered
// twice.
#define STATIC_BUFFER(name, capacity) \
  static char name##_data[capacity]; \
  struct buffer name = {name##_data, sizeof name##_data, 0, 0}

// What seldom serves lies apart from the rest of the zeroed memory, so that this is few pages.
#define SELDOM __attribute__((section(".lbss")))

// Sums and products of sizes. What does not fit is the largest size there is, for which there is no memory.
static inline size_t plus(size_t a, size_t b) {
  size_t sum;
  return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}
static inline size_t times(size_t a, size_t b) {
  size_t product;
  return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

// A size at which whatever comes next is aligned.
static inline size_t whole(size_t size) {
  return plus(size, 15) & ~(size_t)15;
}

// Zeroed memory, null where there is none. A little comes with the executable, without a mapping of its own. What was
// taken last can be given back. A buffer of so many bytes besides its NUL: without memory for it the process ends.
void *more_memory(size_t size);
struct buffer more_buffer(size_t capacity);
void less_memory(const struct buffer *last);

void put(struct buffer *to, const char *text);
void put_bytes(struct buffer *to, const char *text, size_t size);
void put_number(struct buffer *to, int64_t number);
void put_padded(struct buffer *to, int64_t number, int digits);
void put_json(struct buffer *to, const char *text); // quoted and escaped; U+FFFD for what is no UTF-8
size_t utf8_character(const char *at, const char *end); // of the character at `at`: 0 where it is none
void put_layer(struct buffer *to, const char *path); // one of several paths separated by colons: escaped
void put_time(struct buffer *to, int64_t seconds, int64_t nanoseconds); // RFC 3339, UTC; nanoseconds < 0: none
void put_error(struct buffer *to, int error); // as Go writes it: "no such file or directory"
// Appends text with %s (text), %d (int), %l (int64_t), %j (text as JSON) and %e (int: an error number, as put_error
// writes it). vformat returns the first error number among the arguments, 0 without one.
void format(struct buffer *to, const char *pattern, ...);
int vformat(struct buffer *to, const char *pattern, va_list arguments);
// The path without ".", ".." and needless slashes, by its text alone, as clean() of model/text.py: its size. `out` has
// one byte more than `size`, and no NUL is put.
size_t clean_path(const char *path, size_t size, char *out);
int parse_number(const char *text, int64_t *number); // whole text, decimal; 0 or -1
int write_all(int fd, const char *data, size_t size); // 0 or negative errno
long read_file(int dir, const char *path, char *data, size_t size); // bytes read, NUL added; or negative errno

// ---- caller.c: what this process was started with; written once, before anything else ----

struct limit {
  uint64_t soft, hard;
};
struct caller {
  struct limit files; // RLIMIT_NOFILE: the runtime's own soft limit is raised
  char **environment;
};
extern struct caller caller;
void set_up_process(char **environment);
int restore_open_files(void); // the caller's limit again: 0 or negative errno
void need_memory_for_python(void); // or the end of this process, with an error that names the limit
const char *isolated_python(void); // its flags: what the caller has set in the environment is not for it
char **environment_for_python(void); // the caller's, and what the executable that Python becomes needs besides

// ---- log.c ----

// `prefix` is put before an error (null: nothing), `status` is the exit status of one, `reader` the descriptor of
// --status-fd (-1: none), which gets all lines in place of standard error. `hint` is what a person may do about the
// next error.
struct log {
  const char *path;
  int json, debug, only_errors;
  const char *prefix, *hint;
  int status, reader;
};
extern struct log logging;
// What the next error is about, for its line in JSON: the first failure, of which others may be consequences.
struct failure {
  const char *phase, *path;
  int error;
};
extern struct failure failure;
int log_is_file(const char *log); // does --log name a file, or one of crun's other backends?
void log_check(void); // the end of this process where the log cannot be opened
int is_terminal(int fd);
void log_line(const char *level, const char *message);
void log_commit(void); // the verb has done its work: warnings that waited for its end are written
_Noreturn void end_verb(int status); // that, and the end
void log_error(const char *message); // to the log, and as plain text to standard error where the log is a file
void put_refusal(struct buffer *to, int error); // what else may be behind an error that a call has given
_Noreturn void fail(const char *pattern, ...); // log_error of what format() makes of this, and the end

// ---- status.c: the lines of --status-fd ----

void put_begin(struct buffer *to, int pid, uint64_t start_time);
void tell_begin(int pid, uint64_t start_time); // writes it, if there is a reader
struct program;
struct rusage;
void put_end(struct buffer *to, const struct program *program, int status, const struct rusage *usage); // a wait status

// ---- program.c: a program, checked and bound ----

struct texts {
  const char **items;
  uint32_t count;
}; // items ends with a null pointer

struct program {
  const uint8_t *base;
  size_t size;
  const struct program_header *header;
  uint8_t *steps; // a copy, number slots filled in
  const char **strings;
  struct texts *lists;
};

// 0, or -1: not a program of this build.
int program_load(struct program *program, int fd);
int program_use(struct program *program, const void *data, size_t size); // the same, of memory that stays as it is
const char *text_of(const struct program *program, uint64_t index);
const void *bytes_of(const struct program *program, uint64_t index, size_t *size);
const struct texts *texts_of(const struct program *program, uint64_t index);
// First and one-past-last step of a section.
const struct step *section_first(const struct program *program, unsigned section);
const struct step *section_end(const struct program *program, unsigned section);
const struct step_write_state *state_of(
    const struct program *p); // what tells the state; the end where a program has none
static inline const struct step *next_step(const struct step *step) {
  return (const struct step *)((const uint8_t *)step + step->size);
}

// ---- container.c: the state directory ----

struct container {
  const char *root, *id;
  int dir; // <root>/<id>, locked while a verb changes it
  struct journal *journal; // shared memory; null where the directory has none
  struct program program; // base is null where none is stored, or one of another build
  int foreign; // a program of another build is stored
  int pidfd; // init, -1: not held
  const char *holes; // create, exec: which of the preserved descriptors the caller has not open (launch.c); or null
  const char *notify_host; // start, run: the caller's NOTIFY_SOCKET; null: it has none
  int ends; // a verb that blocks signals until it stays with a process: a signalfd of those that end it, -1: none
  int taken_over; // delete --force has ended who had the lock
  int notify; // start, run: where the container's processes send to, -1: nowhere
};

void hold_holes(const char *holes, int yes); // launch.c: close-on-exec on what stands in their place, or not
int container_make(struct container *c); // new directory, locked; fails on an existing id
#define LOCK_SECONDS 10 // longer nobody waits for the lock of a state directory
// 0, -ENOENT, or -ETIMEDOUT with the journal, which says who has the lock. lock: LOCK_EX, LOCK_SH or 0.
int container_open(struct container *c, int lock);
int container_only_begun(int dir); // does it hold only what a create or delete that was cut off leaves?
int container_lock(struct container *c, int lock); // one that is open: the same
void container_unlock(struct container *c);
// A descriptor that says, as long as it is open, that this process starts the container; -EWOULDBLOCK: another does.
int container_claim_start(struct container *c);
// The state is not locked while somebody's end is waited for. Another delete may have finished it all until it is
// locked again.
#define DELETED_MEANWHILE (-ESTALE)
int container_relock(struct container *c); // 0, DELETED_MEANWHILE, or -EBUSY: another verb keeps it locked
#define END_SECONDS 10 // in which a process ends after SIGKILL, or is told in an error
int container_hold(struct container *c); // opens pidfd if init lives: 1, else 0
int container_write(struct container *c, const char *name, const void *data, size_t size);
int container_rename(struct container *c, const char *from, const char *to);
int container_keep(struct container *c, const char *name, const void *data, size_t size); // a whole file: both of them
int container_store(struct container *c, const void *config, size_t size);
int container_remove(struct container *c); // the directory and its files: 0 or negative errno
const char *container_status(struct container *c);
struct buffer state_buffer(const struct program *p); // large enough for the state; null: for one without a program
void put_state(struct buffer *to, const struct program *p, const struct journal *j, int pid, const char *status,
    int pretty, int whole);
int read_start_time(int pid, uint64_t *start_time); // field 22 of /proc/PID/stat; -ESRCH with 0: no such process
uint64_t start_time_of(int pid); // the same, or the end of this process where it cannot be told
int process_lives(int pid, uint64_t start_time); // is it that process still, for who does nothing to it?
void put_process(struct buffer *to, int pid, const char *before); // its pid, and what keeps it from ending
int plain_id(const char *id); // can it be a container's?
struct effect *effect_of(struct journal *journal, uint64_t key, int make);
struct run;
struct effect *need_effect(
    struct run *r, uint64_t key); // made where it is missing; null where there is no room, which is said
uint64_t effect_key(const char *a, const char *b);
int root_directory(const char *root, int make); // fd or negative errno

// ---- execute.c: running a section ----

// The process that a verb has made. It is not the container: create and restore copy what they find here into the
// journal (become_container), while exec, which makes a process beside the container's first one, writes nothing of the
// container's.
struct child {
  int pid, pidfd; // pidfd is -1 where there is none
  int entry; // -1, or cgroup.procs of the cgroup that it has to move into by itself
  uint32_t *runs; // it, or the process that it has made last, says here that it has begun to run
  uint32_t *phase; // it says here that it executes its program
};

struct run {
  struct container *container;
  const struct program *program;
  unsigned section;
  int fds[REGISTERS];
  uint8_t joined[REGISTERS]; // namespace registers that are done
  int peer; // socket to the other side, -1: none
  uint32_t early; // host: events that came before they were waited for, a bit each
  int proc; // a procfs of our own, -1: not yet
  int rootfs, null, empty; // rootfs; what masks files and directories (-1: not yet)
  int directory; // path.c: the one that the last step has made something in, -1: none
  const char *directory_path;
  size_t directory_length;
  const struct step_filter_hooks *hook_filter; // begin: what hooks install for themselves; null: nothing
  const struct step *spawn; // host: the Spawn that was done last
  const char *stays; // host: why the child is in the caller's cgroup: a warning once it is created
  struct child child; // host: the process that Spawn made (the stage, then what the stage made)
  int has_state; // host: state.json is written, but for its name
  int pid_file; // host: the pid file to be, without a name, -1: none
  int joins; // exec: the child joins a container that exists
  int signals; // exec in the foreground: signals to pass on, -1: none
  int pid; // init: this process as the runtime sees it, 0: not told
  int console; // host: the master that init sent, for a foreground run
  int start_socket; // where init waits for start
  int starter; // init: the connection of `start`
  int signal, signalled; // signal section; how many processes got it
  int in_directory; // init: the process stands in its directory
  int hooks; // delete section: run hooks (0: pass them over)
  int null_attached; // null is a mount of the container's namespace already
  struct view *views; // restrict.c: what is mounted of procfs and sysfs
  int space; // the runtime's mount namespace, while the rootfs is made in another
  uint32_t passed_over[32]; // hierarchies that may not be written
  unsigned n_passed_over;
  int refused; // why controllers could not be enabled, and in which cgroup
  char refused_at[256];
  const struct step *step; // the one that is run
  const char *call; // of the failure: what failed
  struct buffer detail; // of the failure: what the kernel or the other side said
  char detail_data[6144];
};

void run_begin(struct run *r, struct container *c, unsigned section);
// Runs a section: 0, or a negative errno with the failing step in *failed.
int run_section(struct run *r, const struct step **failed);
int run_steps(struct run *r, const struct step *from, const struct step **failed); // the same, from a later step on
void put_failure(struct buffer *to, const struct run *r, const struct step *step, int error);
_Noreturn void run_child(struct run *r, unsigned section); // stage or init, never returns
_Noreturn void child_failed(
    struct run *r, const struct step *step, int error); // tells the other side, and ends the child

// Marks the failing call and gives the error on: `return failing(r, "openat2", error);`
static inline int failing(struct run *r, const char *call, int error) {
  r->call = call;
  return error;
}

#define TEXT(field) text_of(r->program, s->field)
#define TEXTS(field) texts_of(r->program, s->field)
#define NUMBER(field) ((int64_t)s->field)

#define X(name, code, size, sentence, kinds) int do_##name(struct run *r, const struct step_##name *s);
EACH_STEP(X)
#undef X

// ---- channel.c: messages between the runtime and its child ----

enum message_kind { MESSAGE_EVENT = 1, MESSAGE_FAILURE, MESSAGE_CONSOLE };
struct message {
  uint32_t kind, event;
  int32_t pid, error;
  uint32_t step; // offset into the step area
  char call[32], detail[5120];
};
// What is sent at least: all that `start` of an older build takes.
#define LEAST_MESSAGE (offsetof(struct message, detail) + 900)
// A unix socket, connected to or bound (`call`: SYS_connect or SYS_bind) at `length` bytes of `path`; a first byte of 0
// makes it an abstract name. Whoever is connected to has PEER_SECONDS to accept, and again for each thing that is sent:
// then -ETIMEDOUT, or -EAGAIN of what is sent.
#define PEER_SECONDS 10
int unix_socket(int type, const char *path, size_t length, long call);
// sendmsg(2) and recvmsg(2) with descriptors. Those that did not come are -1; 0 where the other side has gone.
long send_rights(int socket, const void *data, size_t size, const int *fds, unsigned count);
long receive_rights(int socket, void *data, size_t size, int *fds, unsigned count);
int send_message(int socket, const struct message *message, int fd);
int receive_message(int socket, struct message *message, int *fd); // 1, 0 at the end, or negative errno
// The same with up to PASSED descriptors; those that did not come are -1.
int send_message_with(int socket, const struct message *message, const int *fds, unsigned count);
int receive_message_with(int socket, struct message *message, int *fds, unsigned count);

// ---- path.c: paths inside the rootfs ----

int resolve(int root, const char *path, uint64_t flags); // fd or negative errno
enum make_kind { MAKE_DIRECTORY, MAKE_FILE };
int resolve_or_make(int root, const char *path, enum make_kind kind, int mode); // O_PATH fd
int resolve_or_make_last(struct run *r, const char *path, enum make_kind kind,
    int mode); // the same; a last component that is a link is meant itself
long filesystem_of(int fd); // its magic number of statfs(2), or negative errno
int resolve_or_make_plain(int root, const char *path); // a directory, with no link on the way
// The parent directory of path (made where missing) and the last component. It stays open for the steps that come next,
// as r->directory: one that makes something in the same, or mounts something there, needs no walk.
int resolve_parent(struct run *r, const char *path, const char **name);
void forget_directory(struct run *r);
int resolve_target(
    struct run *r, const char *path, enum make_kind kind); // for a mount: O_PATH fd, made where it is missing
int copy_tree(int from, int to); // tmpcopyup
int list_directory(int fd, int (*each)(int dir, const char *name, unsigned char type, void *data), void *data);

// ---- beneath.c ----

// For a path beneath /sys/fs/cgroup, a descriptor of that and the rest of the path; otherwise AT_FDCWD. The way there
// through sysfs costs a microsecond each time, and waits while somebody makes a network namespace. Kept open until
// leave_top.
int beneath_top(const char **path);
void leave_top(void);

// ---- cgroup.c: what the steps of the section state point at ----

int is_paused(const struct program *program);
void put_paused_file(
    struct buffer *to, const struct program *program); // the file that tells so; nothing where there is none
int64_t oom_kills(const struct program *program);
int64_t memory_peak(const struct program *program); // bytes; 0: not counted
// Why somebody was killed, if it was for that; `joins`: in a container that existed.
void put_oom(struct buffer *to, const struct program *program, int joins);

// ---- process.c, hook.c ----

int wait_exit(int pidfd, int *status); // waitid of a child: wait status
int wait_usage(
    int pidfd, int *status, struct rusage *usage); // the same, and what it and all that it has reaped have used
// Until `fd` can be read: 1, 0 after so long (-1: without end), or -EINTR where a signal asks the verb to end.
int wait_or_end(const struct container *c, int fd, int milliseconds);
int run_hook(struct run *r, const char *path, const struct texts *args, const char *const *env, int64_t timeout,
    const char *status, const int *streams); // streams: what gets stdout and stderr (0, -1: the error does); null: none
void reset_signals(void); // what the caller ignores, or catches, is as by default again
void prepare_ready(struct run *r); // of init: before it says that it is ready
// Loads a seccomp filter, a string of the program: a listener or 0, or negative errno.
int load_filter(const struct program *p, uint64_t filter, uint64_t flags);
void set_signals(uint64_t which, void (*handler)(int)); // bit 0 is signal 1
void unblock_signals(void); // all of them: what a program begins with
int killed_at_birth(struct run *r); // and made ready for doing the Spawn again

// ---- fault.c: test builds only ----

#ifdef OCIRT_FAULT
void fault_point(void);
void fault_begin(const char *verb);
void fault_descriptors(int fds[3]);
#else
#define fault_point() ((void)0)
#define fault_begin(verb) ((void)0)
#define fault_descriptors(fds) ((void)(fds))
#endif
