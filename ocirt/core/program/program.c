// Checks every offset and index of a program once, then binds it. ocirt/plan/encode.py has the layout.
#include "program/program.h"

#include <string.h>

#include "base/files.h"
#include "base/need.h"
#include "build-id.h"

static const struct {
  uint16_t size;
  const char *kinds;
} shapes[] = {
#define X(name, code, size, sentence, kinds, ...) {size, kinds},
    EACH_STEP(X)
#undef X
};

static const uint16_t record_sizes[] = {sizeof(struct section), sizeof(uint64_t), 1, sizeof(struct string),
    sizeof(struct piece), sizeof(struct list), sizeof(struct item), sizeof(struct patch), sizeof(struct slot), 1};

#define PROGRAM_MAX (64 << 20) // bytes, including the state behind it

#define TABLE(p, name, type) ((const struct type *)((p)->base + (p)->header->name.offset))
#define ROWS(p, name, type) ((p)->header->name.size / sizeof(struct type))

static int within(uint64_t first, uint64_t count, uint64_t size) { return first <= size && count <= size - first; }

// Do the bytes lie inside the data table, with a NUL behind them?
static int good_bytes(const struct program *p, uint32_t offset, uint32_t size) {
  const struct table *data = &p->header->data;
  return within(offset, (uint64_t)size + 1, data->size) && p->base[data->offset + offset + size] == 0;
}

static int is_slot(const struct program *p, uint32_t index, uint32_t kind) {
  return index < ROWS(p, slots, slot) && TABLE(p, slots, slot)[index].kind == kind;
}

static int good_slot(const struct program *p, const struct slot *slot) {
  return slot->kind == NUMBER_VALUE || (slot->kind <= LIST_VALUE && good_bytes(p, slot->offset, slot->size));
}

static int good_string(const struct program *p, const struct string *string) {
  return within(string->first, string->count, ROWS(p, pieces, piece));
}

static int good_piece(const struct program *p, const struct piece *piece) {
  if (piece->kind == LITERAL) return good_bytes(p, piece->a, piece->b);
  return piece->kind == SLOT ? is_slot(p, piece->a, TEXT_VALUE)
                             : piece->kind == NUMBER_SLOT && is_slot(p, piece->a, NUMBER_VALUE);
}

static int good_list(const struct program *p, const struct list *list) {
  return within(list->first, list->count, ROWS(p, items, item));
}

static int good_item(const struct program *p, const struct item *item) {
  return item->kind == STRING ? item->index < ROWS(p, strings, string)
                              : item->kind == SPLICE && is_slot(p, item->index, LIST_VALUE);
}

static int good_patch(const struct program *p, const struct patch *patch) {
  return patch->offset % 8 == 0 && within(patch->offset, 8, p->header->steps.size) &&
         is_slot(p, patch->slot, NUMBER_VALUE);
}

static int good_tables(const struct program *p) {
  const struct table *tables = &p->header->sections;
  for (unsigned i = 0; i < COUNT(record_sizes); i++)
    if (tables[i].offset % 8 || !within(tables[i].offset, tables[i].size, p->size) || tables[i].size % record_sizes[i])
      return 0;
#define ROWS_ARE_GOOD(name, type) \
  for (size_t i = 0; i < ROWS(p, name, type); i++) \
    if (!good_##type(p, TABLE(p, name, type) + i)) return 0;
  ROWS_ARE_GOOD(slots, slot)
  ROWS_ARE_GOOD(strings, string)
  ROWS_ARE_GOOD(pieces, piece)
  ROWS_ARE_GOOD(lists, list)
  ROWS_ARE_GOOD(items, item)
  ROWS_ARE_GOOD(patches, patch)
#undef ROWS_ARE_GOOD
  return 1;
}

const void *bytes_of(const struct program *p, uint64_t index, size_t *size) {
  const struct string *string = TABLE(p, strings, string) + index;
  const struct piece *piece = TABLE(p, pieces, piece) + string->first;
  if (string->count != 1 || piece->kind != LITERAL) return 0;
  *size = piece->b;
  return p->base + p->header->data.offset + piece->a;
}

static int good_step(const struct program *p, const struct step *step) {
  if (step->code >= STEP_COUNT || step->size != shapes[step->code].size || step->at >= ROWS(p, strings, string))
    return 0;
  const uint64_t *field = (const uint64_t *)(step + 1);
  size_t size;
  for (const char *kind = shapes[step->code].kinds; *kind; kind++, field++) {
    if (*kind == 't' && *field >= ROWS(p, strings, string)) return 0;
    if (*kind == 'b' && (*field >= ROWS(p, strings, string) || !bytes_of(p, *field, &size))) return 0;
    if (*kind == 'l' && *field >= ROWS(p, lists, list)) return 0;
    if (*kind == 's' && *field >= SECTION_COUNT) return 0;
    if (*kind == 'e' && *field >= EVENT_COUNT) return 0;
    if (*kind == 'f' && (int64_t)*field != -1 && *field >= REGISTERS) return 0;
  }
  return 1;
}

static int good_steps(const struct program *p) {
  if (ROWS(p, sections, section) != SECTION_COUNT) return 0;
  const struct section *sections = TABLE(p, sections, section);
  for (unsigned i = 0; i < SECTION_COUNT; i++) {
    uint64_t at = sections[i].first;
    for (uint32_t k = 0; k < sections[i].count; k++) {
      if (at % 8 || !within(at, sizeof(struct step), p->header->steps.size)) return 0;
      const struct step *step = (const struct step *)(p->steps + at);
      if (!within(at, step->size, p->header->steps.size) || !good_step(p, step)) return 0;
      at += step->size;
    }
  }
  return 1;
}

// All facts are texts, so `struct facts` is an array of pointers.
#define N_FACTS (sizeof(struct facts) / sizeof(const char *))

static int good_facts(const struct program *p) {
  const uint64_t *facts = (const void *)(p->base + p->header->facts.offset);
  if (p->header->facts.size != N_FACTS * sizeof *facts) return 0;
  for (size_t i = 0; i < N_FACTS; i++)
    if (facts[i] >= ROWS(p, strings, string)) return 0;
  return 1;
}

static void bind_facts(struct program *p) {
  const uint64_t *facts = (const void *)(p->base + p->header->facts.offset);
  const char *texts[N_FACTS];
  for (size_t i = 0; i < N_FACTS; i++)
    texts[i] = p->strings[facts[i]];
  memcpy(&p->facts, texts, sizeof texts);
}

// Binding takes all its memory from one allocation, which the child inherits.
static uint8_t *take(uint8_t **arena, size_t size) {
  uint8_t *memory = *arena;
  *arena += (size + 7) & ~(size_t)7;
  return memory;
}

static size_t string_size(const struct program *p, const struct string *string) {
  const struct piece *piece = TABLE(p, pieces, piece) + string->first;
  const struct slot *slots = TABLE(p, slots, slot);
  size_t size = 1;
  for (uint32_t i = 0; i < string->count; i++)
    size = plus(size, piece[i].kind == LITERAL ? piece[i].b : piece[i].kind == SLOT ? slots[piece[i].a].size : 24);
  return size;
}

// The number of texts in a list, including those of spliced lists.
static size_t list_length(const struct program *p, const struct list *list) {
  const struct item *item = TABLE(p, items, item) + list->first;
  const struct slot *slots = TABLE(p, slots, slot);
  size_t length = 0;
  for (uint32_t i = 0; i < list->count; i++)
    length = plus(length, item[i].kind == STRING ? 1 : slots[item[i].index].count);
  return length;
}

static const char *bind_string(const struct program *p, const struct string *string, uint8_t **arena) {
  const struct piece *piece = TABLE(p, pieces, piece) + string->first;
  const struct slot *slots = TABLE(p, slots, slot);
  const char *data = (const char *)p->base + p->header->data.offset;
  if (string->count == 1 && piece->kind != NUMBER_SLOT)
    return data + (piece->kind == LITERAL ? piece->a : slots[piece->a].offset);
  struct buffer out = {(char *)*arena, string_size(p, string), 0, 0};
  take(arena, out.size);
  out.data[0] = 0;
  for (uint32_t i = 0; i < string->count; i++) {
    if (piece[i].kind == LITERAL)
      put_bytes(&out, data + piece[i].a, piece[i].b);
    else if (piece[i].kind == SLOT)
      put_bytes(&out, data + slots[piece[i].a].offset, slots[piece[i].a].size);
    else
      put_number(&out, slots[piece[i].a].number);
  }
  return out.data;
}

static int bind_list(struct program *p, const struct list *list, struct texts *texts, uint8_t **arena) {
  const struct item *items = TABLE(p, items, item) + list->first;
  const struct slot *slots = TABLE(p, slots, slot);
  size_t length = list_length(p, list);
  if (length >= UINT32_MAX) return -1;
  texts->items = (const char **)take(arena, (length + 1) * sizeof(char *));
  texts->count = 0;
  for (uint32_t i = 0; i < list->count; i++) {
    if (items[i].kind == STRING) {
      texts->items[texts->count++] = p->strings[items[i].index];
      continue;
    }
    const struct slot *slot = &slots[items[i].index];
    const char *text = (const char *)p->base + p->header->data.offset + slot->offset, *end = text + slot->size;
    for (uint32_t k = 0; k < slot->count; k++) {
      if (text >= end) return -1;
      texts->items[texts->count++] = text;
      text += strlen(text) + 1;
    }
  }
  texts->items[texts->count] = 0;
  return 0;
}

static size_t arena_size(const struct program *p) {
  size_t size = p->header->steps.size + 8, n_strings = ROWS(p, strings, string), n_lists = ROWS(p, lists, list);
  for (size_t i = 0; i < n_strings; i++)
    size = plus(size, plus(string_size(p, TABLE(p, strings, string) + i), 8 + sizeof(char *)));
  for (size_t i = 0; i < n_lists; i++)
    size = plus(
        size, plus(sizeof(struct texts), times(sizeof(char *), plus(list_length(p, TABLE(p, lists, list) + i), 1))));
  return size;
}

int program_load(struct program *p, int fd) {
  struct span whole = map_file(fd, PROGRAM_MAX);
  const struct program_header *header = (const void *)whole.text;
  if (!whole.text) return -1;
  // In a stored program the state follows.
  size_t own = whole.size < sizeof *header || header->size > whole.size ? whole.size : header->size;
  if (!program_use(p, header, own)) return 0;
  sys2(SYS_munmap, header, whole.size);
  return -1;
}

int program_read(struct program *p, int fd) {
  struct program_header head;
  if (read_all(fd, (char *)&head, sizeof head) != sizeof head || head.size < sizeof head || head.size > PROGRAM_MAX)
    return -1;
  char *base = arena_need(head.size, "a program");
  memcpy(base, &head, sizeof head);
  long left = (long)(head.size - sizeof head);
  return read_all(fd, base + sizeof head, (size_t)left) == left ? program_use(p, base, head.size) : -1;
}

static int good_header(const struct program *p) {
  const struct program_header *header = p->header;
  return !memcmp(header->magic, PROGRAM_MAGIC, sizeof header->magic) && header->format == PROGRAM_FORMAT &&
         header->size == p->size && !strncmp(header->build, BUILD_ID, BUILD_SIZE);
}

static void copy_steps(struct program *p, uint8_t **arena) {
  const struct slot *slots = TABLE(p, slots, slot);
  const struct patch *patches = TABLE(p, patches, patch);
  p->steps = take(arena, p->header->steps.size);
  memcpy(p->steps, p->base + p->header->steps.offset, p->header->steps.size);
  for (size_t i = 0; i < ROWS(p, patches, patch); i++)
    memcpy(p->steps + patches[i].offset, &slots[patches[i].slot].number, sizeof slots->number);
}

static int bind_all(struct program *p) {
  if (!good_header(p) || !good_tables(p)) return -1;
  uint8_t *arena = arena_need(arena_size(p), "a program");
  copy_steps(p, &arena);
  if (!good_steps(p) || !good_facts(p)) return -1;
  size_t n_strings = ROWS(p, strings, string), n_lists = ROWS(p, lists, list);
  p->strings = (const char **)take(&arena, n_strings * sizeof(char *));
  for (size_t i = 0; i < n_strings; i++)
    p->strings[i] = bind_string(p, TABLE(p, strings, string) + i, &arena);
  bind_facts(p);
  p->lists = (struct texts *)take(&arena, n_lists * sizeof(struct texts));
  for (size_t i = 0; i < n_lists; i++)
    if (bind_list(p, TABLE(p, lists, list) + i, &p->lists[i], &arena)) return -1;
  return 0;
}

int program_use(struct program *p, const void *base, size_t size) {
  if (size < sizeof(struct program_header)) return -1;
  p->size = size;
  p->base = base;
  p->header = base;
  int error = bind_all(p);
  if (error) p->base = 0;
  return error;
}

const char *text_of(const struct program *p, uint64_t index) { return p->strings[index]; }

const struct texts *texts_of(const struct program *p, uint64_t index) { return &p->lists[index]; }

const struct step *section_first(const struct program *p, unsigned section) {
  return (const struct step *)(p->steps + TABLE(p, sections, section)[section].first);
}

uint32_t section_count(const struct program *p, unsigned section) { return TABLE(p, sections, section)[section].count; }

const struct step *section_end(const struct program *p, unsigned section) {
  const struct step *step = section_first(p, section);
  for (uint32_t i = 0; i < section_count(p, section); i++)
    step = next_step(step);
  return step;
}
