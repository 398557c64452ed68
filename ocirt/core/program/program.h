// A bound program: the steps of its sections, and the texts and lists that they name.
#pragma once
#include "base/sys.h"
#include "steps.h"

struct texts {
  const char **items; // ends with a null pointer
  uint32_t count;
};

struct program {
  struct facts facts; // texts, empty if the program has no such fact; null pointers while base is null
  const uint8_t *base;
  size_t size;
  const struct program_header *header;
  uint8_t *steps; // a copy with number slots filled in
  const char **strings;
  struct texts *lists;
};

// 0, or -1: not a program of this build.
int program_load(struct program *program, int fd);
int program_read(struct program *program, int fd); // the same for a pipe
int program_use(struct program *program, const void *data, size_t size); // the same for memory, which must not change
const char *text_of(const struct program *program, uint64_t index);
const void *bytes_of(const struct program *program, uint64_t index, size_t *size); // null: not one literal piece
const struct texts *texts_of(const struct program *program, uint64_t index);

// First and one-past-last step of a section, and how many steps it has.
const struct step *section_first(const struct program *program, unsigned section);
const struct step *section_end(const struct program *program, unsigned section);
uint32_t section_count(const struct program *program, unsigned section);

static inline const struct step *next_step(const struct step *step) {
  return (const struct step *)((const uint8_t *)step + step->size);
}
