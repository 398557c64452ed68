// A program of 32 bits without any library, for a compiler of the processor's 64 bits has none for it. Makes the system
// calls of its arguments, NUMBER:ARGUMENT..., each printed with what it gives (negative: the error); `machine` prints
// what uname(2) says. i386 and 32-bit ARM have the same numbers for what stands here.
enum { EXIT = 1, WRITE = 4, UNAME = 122 };
enum { FIELD = 65, MACHINE = 4, FIELDS = 6 };

// Begins at the stack pointer, where the kernel has left argc and argv.
#if defined(__i386__)
__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tand $-16, %esp\n\tsub $12, %esp\n\tpush %eax\n\tcall begin\n");

static long call(const unsigned long *a) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(a[0]), "b"(a[1]), "c"(a[2]), "d"(a[3]), "S"(a[4]) : "memory");
  return result;
}
#elif defined(__arm__)
__asm__(".globl _start\n_start:\n\tmov r0, sp\n\tbl begin\n");

static long call(const unsigned long *a) {
  register unsigned long number __asm__("r7") = a[0], first __asm__("r0") = a[1], second __asm__("r1") = a[2];
  register unsigned long third __asm__("r2") = a[3], fourth __asm__("r3") = a[4];
  __asm__ volatile("svc #0" : "+r"(first) : "r"(number), "r"(second), "r"(third), "r"(fourth) : "memory");
  return (long)first;
}
#endif

static void print(const char *text) {
  unsigned long size = 0;
  while (text[size])
    size++;
  call((unsigned long[]){WRITE, 1, (unsigned long)text, size, 0});
}

static void print_number(long number) {
  char text[16], *at = text + sizeof text;
  unsigned long rest = number < 0 ? -(unsigned long)number : (unsigned long)number;
  *--at = 0;
  do
    *--at = (char)('0' + rest % 10);
  while (rest /= 10);
  if (number < 0) *--at = '-';
  print(at);
}

__attribute__((noreturn, used)) void begin(const long *stack) {
  for (char *const *word = (char *const *)(stack + 2); *word; word++) {
    const char *at = *word;
    unsigned long arguments[5] = {0};
    for (int i = 0; i < 5 && *at >= '0' && *at <= '9'; i++) {
      while (*at >= '0' && *at <= '9')
        arguments[i] = arguments[i] * 10 + (unsigned long)(*at++ - '0');
      if (*at == ':') at++;
    }
    if (*at) {
      static char names[FIELDS][FIELD];
      call((unsigned long[]){UNAME, (unsigned long)names, 0, 0, 0});
      print(names[MACHINE]);
    } else
      print_number(call(arguments));
    print("\n");
  }
  for (;;)
    call((unsigned long[]){EXIT, 0, 0, 0, 0});
}
