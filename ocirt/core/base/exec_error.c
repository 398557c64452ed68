// Explains why the kernel cannot execute a file: it names an interpreter that is missing.
#include "base/exec_error.h"

#include <elf.h>
#include <string.h>

#include "base/files.h"

// Appends what the kernel executes instead of the file: the interpreter of a script, or the loader of an ELF file.
static void put_interpreter(struct buffer *to, const char *path) {
  _Alignas(8) char head[4096];
  long size = read_file(AT_FDCWD, path, head, sizeof head);
  const Elf64_Ehdr *wide = (const void *)head;
  const Elf32_Ehdr *narrow = (const void *)head;
  if (size > 2 && !memcmp(head, "#!", 2)) {
    const char *start = head + 2 + strspn(head + 2, " \t");
    put_bytes(to, start, strcspn(start, " \t\n"));
  }
  if (size < (long)sizeof *wide || memcmp(head, ELFMAG, SELFMAG)) return;
  int is_wide = head[EI_CLASS] == ELFCLASS64;
  uint64_t at = is_wide ? wide->e_phoff : narrow->e_phoff, each = is_wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
  for (unsigned n = is_wide ? wide->e_phnum : narrow->e_phnum; n && at <= (uint64_t)size - each; n--, at += each) {
    Elf64_Phdr segment = {0};
    Elf32_Phdr short_one = {0};
    memcpy(is_wide ? (void *)&segment : &short_one, head + at, each);
    if (!is_wide) segment = (Elf64_Phdr){.p_type = short_one.p_type, .p_offset = short_one.p_offset};
    if (segment.p_type == PT_INTERP && segment.p_offset < (uint64_t)size) put(to, head + segment.p_offset);
  }
}

void put_exec_error(struct buffer *to, const char *path, int error) {
  struct stat st;
  BUFFER(interpreter, 256);
  put_error(to, error);
  // The file exists, so ENOENT means that its interpreter is missing.
  if (error != -ENOENT || sys_stat(AT_FDCWD, path, &st, 0) < 0) return;
  put_interpreter(&interpreter, path);
  if (interpreter.used) format(to, ": its interpreter %s is missing", interpreter.data);
}
