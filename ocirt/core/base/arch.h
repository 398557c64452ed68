// What differs by processor: system calls, the start of a thread, the pause instruction of a busy wait, and the
// kernel's struct sigaction. The rest of the core uses only calls that every architecture has (ppoll, clone and
// renameat2 instead of poll, fork and renameat). tests/unit/test_arch.py compiles the core for each of these.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

// sys6 makes a system call. clone_thread makes clone3(2) with `args`; its child calls `run` with `data` on its own
// stack.
#if defined(__clang_analyzer__)
extern long sys6(long n, long a, long b, long c, long d, long e, long f); // the analyzer does not read assembly
extern long clone_thread(const void *args, size_t size, void (*run)(void *), void *data);
#define PROCESSOR_WAITS ""

#elif defined(__x86_64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return n;
}
static inline long clone_thread(const void *args, size_t size, void (*run)(void *), void *data) {
  long n = SYS_clone3;
  __asm__ volatile("syscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\tmov %[data], %%rdi\n\tcall *%[run]\n1:"
      : "+a"(n)
      : "D"(args), "S"(size), [run] "r"(run), [data] "r"(data)
      : "rcx", "r11", "memory");
  return n;
}
#define PROCESSOR_WAITS "pause"
#define COLD_BSS_SECTION ".lbss" // for data that the code model of 2 GiB does not reach; linkers put it last

#elif defined(__aarch64__)
static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
}
static inline long clone_thread(const void *args, size_t size, void (*run)(void *), void *data) {
  register long x8 __asm__("x8") = SYS_clone3, x0 __asm__("x0") = (long)args, x1 __asm__("x1") = (long)size;
  __asm__ volatile("svc 0\n\tcbnz x0, 1f\n\tmov x0, %[data]\n\tblr %[run]\n1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), [run] "r"(run), [data] "r"(data)
      : "memory");
  return x0;
}
#define PROCESSOR_WAITS "yield"

#elif defined(__riscv) && __riscv_xlen == 64
static inline long sys6(long n, long a, long b, long c, long d, long e, long f) {
  register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d, a4 __asm__("a4") = e, a5 __asm__("a5") = f;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
  return a0;
}
static inline long clone_thread(const void *args, size_t size, void (*run)(void *), void *data) {
  register long a7 __asm__("a7") = SYS_clone3, a0 __asm__("a0") = (long)args, a1 __asm__("a1") = (long)size;
  __asm__ volatile("ecall\n\tbnez a0, 1f\n\tmv a0, %[data]\n\tjalr %[run]\n1:"
      : "+r"(a0)
      : "r"(a7), "r"(a1), [run] "r"(run), [data] "r"(data)
      : "memory");
  return a0;
}
#define PROCESSOR_WAITS ".4byte 0x0100000f" // pause of Zihintpause, which assemblers know only if it is enabled

#else
#error "ocirt's core knows x86_64, aarch64 and riscv64: give another processor its section in base/arch.h"
#endif

#ifndef COLD_BSS_SECTION
#define COLD_BSS_SECTION ".bss.cold"
#endif

// libc's sigaction would need its own restorer, and its wrapper a working thread id. The kernel of x86_64 refuses to
// run a handler without a restorer; handlers here never return, so none is ever called.
struct kernel_sigaction {
  void (*handler)(int);
  unsigned long flags;
#ifndef __riscv
  void (*restorer)(void);
#endif
  uint64_t mask;
};
#define SA_RESTORER 0x04000000
