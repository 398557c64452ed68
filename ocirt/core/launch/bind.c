#include "launch/bind.h"

#include <string.h>
#include <sys/mman.h>

// Appends a text and a NUL: 1, or 0 without room, which only an entry that ocirt has not written can cause.
static int append(struct buffer *b, struct span text) {
  put_bytes(b, text.text, text.size);
  put_bytes(b, "", 1);
  return !b->full;
}

static int bind_slot(const struct scan *s, struct reader *r, struct buffer *b, uint32_t data_at, struct slot *slot) {
  struct leaf value;
  int there = take_value(r, s, &value);
  uint8_t kind = take_byte(r), checks = take_byte(r);
  uint32_t max_length = take_number(r);
  __int128 low = take_wide(r), high = take_wide(r);
  if (r->bad || !there) return 0;
  *slot = (struct slot){.kind = kind};
  if (kind == NUMBER_VALUE) {
    if (value.kind != LEAF_NUMBER || (checks & CHECK_RANGE && (value.number < low || value.number > high))) return 0;
    slot->number = (int64_t)value.number;
    return 1;
  }
  slot->offset = (uint32_t)b->used - data_at;
  if (kind == LIST_VALUE) {
    if (value.kind != LEAF_LIST) return 0;
    for (uint32_t i = 0; i < value.count; i++)
      if (!append(b, s->items[value.first + i])) return 0;
    slot->count = value.count;
    slot->size = (uint32_t)b->used - data_at - slot->offset;
    return append(b, (struct span){"", 0});
  }
  if (value.kind != LEAF_TEXT && value.kind != LEAF_RAW) return 0;
  if (checks & CHECK_ABSOLUTE && !(value.size && value.text[0] == '/')) return 0;
  if (checks & CHECK_MAX_LENGTH && value.size > max_length) return 0;
  slot->size = value.size;
  return append(b, (struct span){value.text, value.size});
}

// The number of slots in the template's own table, -1 if this is not a template.
static int64_t slots_of(struct span template, struct program_header *header) {
  if (template.size < sizeof *header) return -1;
  memcpy(header, template.text, sizeof *header);
  if (header->slots.offset > template.size || header->slots.size > template.size - header->slots.offset ||
      header->data.offset > template.size)
    return -1;
  return header->slots.size / sizeof(struct slot);
}

// Binds the slots of the program: their values go behind the template. The slots after them are only checked.
static int bind_slots(const struct lookup *l, struct reader *r, struct buffer *b, struct program_header *header,
    uint32_t count, uint32_t in_program) {
  for (uint32_t i = 0; i < count; i++) {
    struct slot slot;
    size_t before = b->used;
    if (!bind_slot(&l->scan, r, b, header->data.offset, &slot)) return 0;
    if (i < in_program)
      memcpy(b->data + header->slots.offset + i * sizeof slot, &slot, sizeof slot);
    else
      b->used = before;
  }
  header->size = (uint32_t)b->used;
  header->data.size = (uint32_t)b->used - header->data.offset;
  memcpy(b->data, header, sizeof *header);
  return 1;
}

int bind_program(const struct lookup *l, struct reader *r, struct program *program) {
  struct program_header header;
  struct span template = take_span(r);
  uint32_t count = take_number(r);
  int64_t in_program = r->bad ? -1 : slots_of(template, &header);
  if (in_program < 0 || in_program > count) return 0;
  // The values together are no longer than the documents, but a value may also be part of other ones.
  size_t capacity = plus(template.size, plus(times((size_t)count + 1, 16 + UNIT_PATH_MAX), times(3, l->values_size)));
  char *data = mmap(0, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return 0;
  memcpy(data, template.text, template.size);
  struct buffer b = {data, capacity, template.size, 0};
  if (bind_slots(l, r, &b, &header, count, (uint32_t)in_program) && !program_use(program, data, b.used)) return 1;
  munmap(data, capacity);
  return 0;
}
