// The executable: where it lies, and that no container reaches it. The processes of a container get at /proc/PID/exe of
// init (CVE-2019-5736), and at the pages of whatever file stands behind it where a kernel lets them poison the page
// cache.
#include "launch/detach.h"

#include <elf.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/log.h"
#include "base/memory.h"

char own_path[4096];

size_t own_folder;

int own_file = -1;

static const char *called = ""; // argv[0]; with a value, it stands on a page that is there anyway

extern const char image[] __asm__("__ehdr_start"); // the linker's: the first byte of the executable in memory

void find_home(void) {
  if (*own_path) return;
  // Executed from a sealed copy, there is no file of the host's behind it: the first call has left the path in argv[0].
  long n = sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", own_path, sizeof own_path - 1);
  own_path[n > 0 ? n : 0] = 0;
  struct stat st;
  int found = sys_stat(AT_FDCWD, own_path, &st, 0) == 0 && S_ISREG(st.st_mode);
  if (!found && called[0] == '/' && strlen(called) < sizeof own_path) strcpy(own_path, called);
  const char *slash = strrchr(own_path, '/');
  own_folder = slash ? (size_t)(slash - own_path) : strlen(own_path);
}

static int is_sealed(int file) {
  int seals = sys_fcntl(file, F_GET_SEALS, 0);
  return seals >= 0 && (seals & SEALS) == SEALS;
}

static int is_readonly(int file) {
  struct {
    uint64_t type, rest[15];
  } fs;
  return sys2(SYS_fstatfs, file, &fs) == 0 && fs.rest[9] & 1 /* ST_RDONLY, of the flags of statfs(2) */;
}

// A memfd that may be executed, and sealed.
static int executable_memfd(void) {
  int fd = sys_memfd("ocirt", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10 /* MFD_EXEC, since 6.3 */);
  return fd == -EINVAL ? sys_memfd("ocirt", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

// ---- without a file ----

// The pages of a segment, private and of no file, in place of those of the executable.
static int make_private(const Elf64_Phdr *segment) {
  uintptr_t begin = segment->p_vaddr & -page_size(),
            end = (segment->p_vaddr + segment->p_filesz + page_size() - 1) & -page_size();
  size_t size = end - begin;
  long copy = sys6(SYS_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (copy < 0) return (int)copy;
  memcpy((void *)copy, (const void *)begin, size);
  int protection = PROT_READ | (segment->p_flags & PF_W ? PROT_WRITE : 0) | (segment->p_flags & PF_X ? PROT_EXEC : 0);
  int error = (int)sys3(SYS_mprotect, copy, size, protection);
  if (!error) {
    long moved = sys5(SYS_mremap, copy, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, begin);
    error = moved < 0 ? (int)moved : 0;
  }
  if (error) sys2(SYS_munmap, copy, size);
  return error;
}

static uint64_t after(char **strings) {
  while (strings[1])
    strings++;
  return (uint64_t)(uintptr_t)(*strings + strlen(*strings) + 1);
}

// prctl(2): PR_SET_MM_MAP wants all of these; but for the file they are what they were.
static int set_executable(int file, const Elf64_Phdr *segments, char **argv, char **environment) {
  uint64_t brk = (uint64_t)sys1(SYS_brk, 0), arguments = after(argv);
  struct prctl_mm_map map = {
      .start_code = segments[0].p_vaddr,
      .end_code = segments[0].p_vaddr + segments[0].p_filesz,
      .start_data = segments[1].p_vaddr,
      .end_data = segments[1].p_vaddr + segments[1].p_filesz,
      .start_brk = brk,
      .brk = brk,
      .start_stack = (uint64_t)(uintptr_t)argv - sizeof(long),
      .arg_start = (uint64_t)(uintptr_t)argv[0],
      .arg_end = arguments,
      .env_start = arguments,
      .env_end = *environment ? after(environment) : arguments,
      .exe_fd = (uint32_t)file,
  };
  return (int)sys5(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

// This process goes on from private memory, and what it says that it executes is an empty file that nobody can write:
// there is nothing of ours to open, to execute or to poison.
static int leave_file(char **argv, char **environment) {
  const Elf64_Ehdr *head = (const void *)image;
  const Elf64_Phdr *segments = (const void *)(image + head->e_phoff);
  int nothing = executable_memfd(), error = nothing < 0 ? nothing : sys_fcntl(nothing, F_ADD_SEALS, SEALS);
  for (int i = 0; !error && i < head->e_phnum; i++)
    if (segments[i].p_type == PT_LOAD) error = make_private(&segments[i]);
  if (!error) error = set_executable(nothing, segments, argv, environment);
  sys_close(nothing);
  return error;
}

// ---- a sealed file: where the kernel, or a policy of its, does not let us go on without one ----

static int sealed_copy(int from) {
  struct stat st;
  int copy = executable_memfd();
  if (copy < 0 || sys_fstat(from, &st) < 0) return -1;
  for (off_t done = 0; done < st.st_size;) {
    long n = sys4(SYS_sendfile, copy, from, 0, st.st_size - done);
    if (n <= 0) {
      sys_close(copy);
      return -1;
    }
    done += n;
  }
  if (sys_fcntl(copy, F_ADD_SEALS, SEALS) < 0) {
    sys_close(copy);
    return -1;
  }
  return copy;
}

// A detached read-only mount of the file, of which nobody else has a way to make it writable.
static int readonly_mount(void) {
  int mount = sys_open_tree(AT_FDCWD, own_path, OPEN_TREE_CLONE);
  if (mount < 0) return mount;
  int error = sys_mount_setattr(mount, 0, MOUNT_ATTR_RDONLY, 0, 0);
  return error < 0 ? error : mount;
}

// Executes it; returns where there is none, and none is needed.
static void execute_sealed(int self, char **argv, char **environment) {
  int copy = sealed_copy(self);
  argv[0] = own_path;
  restore_open_files(); // what is executed raises it again
  if (copy >= 0) sys5(SYS_execveat, copy, "", argv, environment, AT_EMPTY_PATH);
  int mount = readonly_mount();
  int error = mount < 0 ? mount : (int)sys5(SYS_execveat, mount, "", argv, environment, AT_EMPTY_PATH);
  // Without privilege there is neither; an executable that its user cannot write needs no copy.
  if (sys4(SYS_faccessat, AT_FDCWD, own_path, 2 /* W_OK */, 0) < 0) {
    sys_close(copy);
    return;
  }
  fail("seal the executable %s against its containers: %e", own_path, error);
}

void called_as(const char *name) {
  called = name;
}

void forget_arguments(const char *name) {
  char **last = environ, *begin = (char *)(uintptr_t)called;
  if (*last)
    while (last[1])
      last++;
  else
    last -= 2; // without variables the last string is the last argument
  size_t size = (size_t)(*last + strlen(*last) + 1 - begin);
  memset(begin, 0, size);
  for (size_t n = 0; n < size - 1 && name[n]; n++)
    begin[n] = name[n];
}

void leave_own_file(void) {
  sys_close(own_file);
  own_file = -1;
}

void seal(char **argv, char **environment) {
  int self = sys_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
  if (self >= 0 && is_sealed(self)) {
    sys_close(self);
    return;
  }
  find_home();
  if (leave_file(argv, environment) == 0) {
    own_file = self;
    return;
  }
  if (!is_readonly(self)) execute_sealed(self, argv, environment);
  sys_close(self);
}
