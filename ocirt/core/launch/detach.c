#include "launch/detach.h"

#include <elf.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/caller.h"
#include "base/log.h"
#include "base/memory.h"

static char path[PATH_SIZE];

struct executable executable = {.path = path, .file = -1, .argv0 = ""};

extern const char image[] __asm__("__ehdr_start"); // the linker's: the first byte of the executable in memory

void find_install_dir(void) {
  struct stat st;
  if (*path) return;
  long n = sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
  path[n > 0 ? n : 0] = 0;
  // A sealed copy has no path of its own. Whoever executed the copy has left the executable's path in argv[0].
  int found = sys_stat(AT_FDCWD, path, &st, 0) == 0 && S_ISREG(st.st_mode);
  if (!found && *executable.argv0 == '/' && strlen(executable.argv0) < sizeof path) strcpy(path, executable.argv0);
  const char *slash = strrchr(path, '/');
  executable.dir_size = slash ? (size_t)(slash - path) : strlen(path);
}

static int is_sealed(int file) {
  int seals = sys_fcntl(file, F_GET_SEALS, 0);
  return seals >= 0 && (seals & SEALS) == SEALS;
}

static int is_readonly(int file) {
  struct statfs fs;
  return sys2(SYS_fstatfs, file, &fs) == 0 && fs.f_flags & ST_RDONLY;
}

// ---- detaching ----

// Replaces the pages of a segment by a private copy that belongs to no file.
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

static uint64_t end_of(char **strings) {
  while (strings[1])
    strings++;
  return (uint64_t)(uintptr_t)(*strings + strlen(*strings) + 1);
}

// Makes `file` what /proc/self/exe points at. PR_SET_MM_MAP wants all the other fields, too; they stay as they are.
static int set_executable(int file, const Elf64_Phdr *segments, char **argv, char **environment) {
  uint64_t brk = (uint64_t)sys1(SYS_brk, 0), arguments = end_of(argv);
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
      .env_end = *environment ? end_of(environment) : arguments,
      .exe_fd = (uint32_t)file,
  };
  return (int)sys5(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

// Goes on from private memory, with an empty sealed memfd as /proc/self/exe: a container finds nothing there that it
// could open for writing, execute or poison.
static int detach(char **argv, char **environment) {
  const Elf64_Ehdr *head = (const void *)image;
  const Elf64_Phdr *segments = (const void *)(image + head->e_phoff);
  CLOSING int nothing = sys_memfd("ocirt", MFD_EXEC);
  int error = nothing < 0 ? nothing : sys_fcntl(nothing, F_ADD_SEALS, SEALS);
  for (int i = 0; !error && i < head->e_phnum; i++)
    if (segments[i].p_type == PT_LOAD) error = make_private(&segments[i]);
  return error ? error : set_executable(nothing, segments, argv, environment);
}

// ---- the fallback: a sealed file, if the kernel or an LSM forbids PR_SET_MM_MAP ----

static int sealed_copy(int from) {
  struct stat st;
  CLOSING int copy = sys_memfd("ocirt", MFD_EXEC);
  if (copy < 0 || sys_fstat(from, &st) < 0) return -1;
  for (off_t done = 0; done < st.st_size;) {
    long n = sys4(SYS_sendfile, copy, from, 0, st.st_size - done);
    if (n <= 0) return -1;
    done += n;
  }
  return sys_fcntl(copy, F_ADD_SEALS, SEALS) < 0 ? -1 : release(&copy);
}

// A detached read-only mount of the executable. Nobody else can reach the mount to make it writable.
static int readonly_mount(void) {
  int mount = sys_open_tree(AT_FDCWD, executable.path, OPEN_TREE_CLONE);
  if (mount < 0) return mount;
  int error = sys_mount_setattr(mount, 0, MOUNT_ATTR_RDONLY, 0, 0);
  return error < 0 ? error : mount;
}

// Executes a sealed copy, or the executable on a read-only mount. Returns if neither can be had and neither is needed,
// because the caller cannot write to the executable.
static void execute_sealed(int self, char **argv, char **environment) {
  CLOSING int copy = sealed_copy(self);
  argv[0] = executable.path;
  restore_open_files(); // what is executed raises the limit again
  if (copy >= 0) sys5(SYS_execveat, copy, "", argv, environment, AT_EMPTY_PATH);
  int mount = readonly_mount();
  int error = mount < 0 ? mount : (int)sys5(SYS_execveat, mount, "", argv, environment, AT_EMPTY_PATH);
  if (sys4(SYS_faccessat, AT_FDCWD, executable.path, W_OK, 0) < 0) return;
  fail("seal the executable %s against its containers: %e", executable.path, error);
}

void detach_from_exe(char **argv, char **environment) {
  CLOSING int self = sys_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
  if (self >= 0 && is_sealed(self)) return;
  find_install_dir();
  if (detach(argv, environment) == 0)
    executable.file = release(&self);
  else if (!is_readonly(self))
    execute_sealed(self, argv, environment);
}

void close_exe(void) { sys_close(release(&executable.file)); }

void forget_arguments(const char *name) {
  char *begin = (char *)(uintptr_t)executable.argv0;
  // Without variables the last string is the last argument.
  size_t size = end_of(*environ ? environ : environ - 2) - (uintptr_t)begin;
  memset(begin, 0, size);
  for (size_t n = 0; n < size - 1 && name[n]; n++)
    begin[n] = name[n];
}
