// The readers of what others may have written, for a fuzzer: the program decoder, the JSON scanner, the binder. An
// input begins with a letter: p and a program; s and a config; b, the size of a config (4 bytes), that, and what
// follows the key in an entry of the cache. Built by tests/unit/fuzz.py for libFuzzer, or with a main that changes its
// inputs by itself.
#include "build-id.h"
#include "base/log.h"
#include "launch/entry.h"

#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <stdlib.h>
#include <time.h>

static jmp_buf out;

_Noreturn void __wrap_fail(const char *format, ...) {
  (void)format;
  longjmp(out, 1);
}

// Memory of mmap(2) has no red zones: that of malloc has. Freed after each input.
static void *blocks[64];
static unsigned n_blocks;

void *fuzz_mmap(void *at, size_t size, int protection, int flags, int fd, long offset) {
  (void)at;
  (void)protection;
  (void)flags;
  (void)fd;
  (void)offset;
  if (size > 64 << 20 || n_blocks == COUNT(blocks)) return MAP_FAILED;
  return blocks[n_blocks++] = calloc(1, size ? size : 1);
}

int fuzz_munmap(void *memory, size_t size) {
  (void)memory;
  (void)size;
  return 0;
}

static volatile size_t sink;
static unsigned long decoded, bound; // how many inputs got that far

static void use(const struct program *p) {
  for (unsigned i = 0; i < SECTION_COUNT; i++) {
    for (const struct step *step = section_first(p, i), *end = section_end(p, i); step < end; step = next_step(step)) {
      static const char *const kinds[] = {
#define X(name, code, size, sentence, kinds, trace_kind, trace_name) kinds,
          EACH_STEP(X)
#undef X
      };
      const uint64_t *field = (const uint64_t *)(step + 1);
      sink += strlen(text_of(p, step->at));
      for (const char *kind = kinds[step->code]; *kind; kind++, field++) {
        size_t size = 0;
        if (*kind == 't') sink += strlen(text_of(p, *field));
        if (*kind == 'b') {
          const uint8_t *bytes = bytes_of(p, *field, &size);
          sink += size ? bytes[size - 1] : 0;
        }
        if (*kind != 'l') continue;
        const struct texts *texts = texts_of(p, *field);
        for (uint32_t k = 0; k < texts->count; k++)
          sink += strlen(texts->items[k]);
      }
    }
  }
}

static void decode(const uint8_t *data, size_t size) {
  struct program program = {0};
  void *copy = fuzz_mmap(0, size, 0, 0, -1, 0);
  memcpy(copy, data, size);
  if (!program_use(&program, copy, size)) {
    decoded++;
    use(&program);
  }
}

static void bind_entry(const uint8_t *data, size_t size) {
  static const char request[] = "{\"id\":\"c1\",\"root\":\"/run/ocirt\",\"bundle\":\"/bundle\"}";
  struct lookup l = {0};
  struct program program = {0};
  uint32_t config;
  if (size < sizeof config) return;
  memcpy(&config, data, sizeof config);
  if (config > size - sizeof config) return;
  char *text = fuzz_mmap(0, config, 0, 0, -1, 0);
  memcpy(text, data + sizeof config, config);
  data += sizeof config + config;
  size -= sizeof config + config;
  l.values_size = sizeof request + config;
  if (!scan_room(&l.scan, l.values_size) ||
      !scan_document(&l.scan, REQUEST_DOCUMENT, (struct span){request, sizeof request - 1}) ||
      !scan_document(&l.scan, CONFIG_DOCUMENT, (struct span){text, config}))
    return;
  l.key = (struct span){l.scan.structure.data, (uint32_t)l.scan.structure.used};
  struct entry_head head = {
      .format = CACHE_FORMAT, .size = (uint32_t)(sizeof head + sizeof l.key.size + l.key.size + size)};
  memcpy(head.magic, CACHE_MAGIC, sizeof head.magic);
  memcpy(head.build, BUILD_ID, BUILD_SIZE);
  uint8_t *entry = fuzz_mmap(0, head.size, 0, 0, -1, 0), *at = entry;
  at = (uint8_t *)memcpy(at, &head, sizeof head) + sizeof head;
  at = (uint8_t *)memcpy(at, &l.key.size, sizeof l.key.size) + sizeof l.key.size;
  at = (uint8_t *)memcpy(at, l.key.text, l.key.size) + l.key.size;
  memcpy(at, data, size);
  if (try_entry(&l, entry, head.size, &program)) {
    bound++;
    use(&program);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > 1 && size < 1 << 20 && !setjmp(out)) {
    struct scan found;
    if (*data == 'p')
      decode(data + 1, size - 1);
    else if (*data == 'b')
      bind_entry(data + 1, size - 1);
    else if (*data == 's') {
      char *text = fuzz_mmap(0, size - 1, 0, 0, -1, 0);
      memcpy(text, data + 1, size - 1);
      if (scan_room(&found, size - 1)) scan_document(&found, CONFIG_DOCUMENT, (struct span){text, (uint32_t)size - 1});
    }
  }
  while (n_blocks)
    free(blocks[--n_blocks]);
  return 0;
}

#ifdef FUZZ_MAIN
#include <stdio.h>

static uint64_t seed = 1;
static uint32_t any(uint32_t limit) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) % limit;
}

// Changes a few bytes or numbers of four bytes, cuts, or doubles a part.
static size_t change(uint8_t *data, size_t size, size_t capacity) {
  static const uint32_t numbers[] = {0, 1, 7, 8, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
  for (uint32_t n = 1 + any(4); n--;) {
    uint32_t at = 1 + any((uint32_t)size - 1);
    switch (any(6)) {
    case 0:
      data[at] ^= (uint8_t)(1u << any(8));
      break;
    case 1:
      data[at] = (uint8_t)any(256);
      break;
    case 2:
    case 3:
      if (size < 8) break;
      at = 1 + any((uint32_t)size - 5);
      memcpy(data + at, &numbers[any(COUNT(numbers))], 4);
      break;
    case 4:
      if (size > 16 && !any(4)) size = at + 1;
      break;
    default: {
      uint32_t length = any(64);
      if (at + 2 * length > size || size + length > capacity) break;
      memmove(data + at + length, data + at, size - at);
      size += length;
    }
    }
  }
  return size;
}

// SECONDS FILE...
int main(int argc, char **argv) {
  static uint8_t inputs[64][1 << 17], data[1 << 18];
  static size_t sizes[64];
  int count = 0;
  unsigned long runs = 0;
  for (int i = 2; i < argc && count < 64; i++) {
    FILE *file = fopen(argv[i], "rb");
    sizes[count] = file ? fread(inputs[count], 1, sizeof inputs[count], file) : 0;
    if (file) fclose(file);
    LLVMFuzzerTestOneInput(inputs[count], sizes[count]);
    count += sizes[count] > 1;
  }
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    for (int i = 0; i < 100; i++, runs++) {
      int which = (int)any((uint32_t)count);
      memcpy(data, inputs[which], sizes[which]);
      LLVMFuzzerTestOneInput(data, change(data, sizes[which], sizeof data));
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while (now.tv_sec - start.tv_sec < atoi(argv[1]));
  printf("%lu runs of %d inputs, %lu programs decoded, %lu entries bound\n", runs, count, decoded, bound);
  return 0;
}
#endif
