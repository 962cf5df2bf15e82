/*
 * fixed-ram: snapshots that are nearly good ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "input.h"
#include "mutate.h"
#include "seeds-index.h"

#define INPUT_MAX       (256 * KiB)
/*
 * The first fields belong to the head; a good file stays good if they change.
 */
#define HEAD_FIELDS     9

typedef struct Mutation {
    GByteArray *out;
    const Seed *seed;           /* whose fields and parts are in @out */
    const GPtrArray *seeds;
    Random *random;
} Mutation;

/* Half of those of a snapshot with an index are the index's. */
static const SeedField *any_field(Mutation *m, unsigned from)
{
    const Seed *seed = m->seed;

    if (seed->superblock && random_below(m->random, 2)) {
        from = seed->index_fields;
    }
    return &g_array_index(seed->fields, SeedField, from +
                          random_below(m->random, seed->fields->len - from));
}

static const SeedPart *any_part(Mutation *m, const Seed *seed)
{
    return &g_array_index(seed->parts, SeedPart,
                          random_below(m->random, seed->parts->len));
}

/* A field may have been cut off. */
static bool there(const Mutation *m, const SeedField *field)
{
    return field->at + field->width <= m->out->len;
}

static uint64_t field_get(const Mutation *m, const SeedField *field)
{
    const uint8_t *at = m->out->data + field->at;

    if (!there(m, field)) {
        return 0;
    }
    return field->little ? ldn_le_p(at, field->width)
                         : ldn_be_p(at, field->width);
}

static void field_set(Mutation *m, const SeedField *field, uint64_t value)
{
    uint8_t *at = m->out->data + field->at;

    if (!there(m, field)) {
        return;
    }
    if (field->little) {
        stn_le_p(at, field->width, value);
    } else {
        stn_be_p(at, field->width, value);
    }
}

/*
 * Numbers
 */

/* A number at which a range ends or overflows. */
static uint64_t border(Mutation *m)
{
    uint64_t file = m->out->len - INPUT_HEAD;

    switch (random_below(m->random, 6)) {
    case 0:
        return 0;
    case 1:
        return 1ULL << random_below(m->random, 64);
    case 2:
        return file + lduw_be_p(m->out->data + 14) * INPUT_PAGE;
    case 3:
        return ROUND_DOWN(file, INPUT_PAGE);
    case 4:
        return random_below(m->random, 1024) * INPUT_PAGE;
    default:
        return field_get(m, any_field(m, 0));
    }
}

static uint64_t near_border(Mutation *m)
{
    static const int64_t deltas[] = {
        0, 0, 0, 0, 1, -1, 4, -4, 8, INPUT_PAGE, -INPUT_PAGE,
    };

    return border(m) + deltas[random_below(m->random, ARRAY_SIZE(deltas))];
}

static void set_field(Mutation *m)
{
    field_set(m, any_field(m, HEAD_FIELDS), near_border(m));
}

static void add_to_field(Mutation *m)
{
    const SeedField *field = any_field(m, HEAD_FIELDS);
    uint64_t old = field_get(m, field);

    field_set(m, field, random_below(m->random, 2) ? old + near_border(m)
                                                   : old - near_border(m));
}

/* Two fields change so that their sum does not: lengths, say. */
static void shift_fields(Mutation *m)
{
    const SeedField *one = any_field(m, HEAD_FIELDS);
    const SeedField *other = any_field(m, HEAD_FIELDS);
    uint64_t delta = near_border(m);

    field_set(m, one, field_get(m, one) + delta);
    field_set(m, other, field_get(m, other) - delta);
}

static void swap_fields(Mutation *m)
{
    const SeedField *one = any_field(m, HEAD_FIELDS);
    const SeedField *other = any_field(m, HEAD_FIELDS);
    uint64_t value = field_get(m, one);

    field_set(m, one, field_get(m, other));
    field_set(m, other, value);
}

/* Change how the load goes, and the stream's offset. */
static void set_head(Mutation *m)
{
    const SeedField *field = &g_array_index(
        m->seed->fields, SeedField, random_below(m->random, HEAD_FIELDS));

    field_set(m, field, field->width == 1 ? random_u64(m->random)
                                          : near_border(m));
}

/* Change only how the load goes: a good file stays good. */
static void set_faults(Mutation *m)
{
    uint8_t *head = m->out->data;

    head[8] ^= random_below(m->random, 0x100);
    head[9] = random_below(m->random, 4);
    head[10] = random_below(m->random, FAULTS);
    /* Mostly an early read.  A large number reaches the reads at the end. */
    head[11] = random_below(m->random, random_below(m->random, 4) ? 8 : 24);
    head[12] = random_below(m->random, 4);
    head[13] = random_below(m->random, 256);
}

/*
 * Bytes
 */

static uint32_t any_place(Mutation *m)
{
    const SeedPart *part = any_part(m, m->seed);
    uint32_t at = part->at + random_below(m->random, part->length);

    return MIN(at, m->out->len - 1);
}

static void flip_bit(Mutation *m)
{
    m->out->data[any_place(m)] ^= 1 << random_below(m->random, 8);
}

static void set_byte(Mutation *m)
{
    m->out->data[any_place(m)] = random_u64(m->random);
}

static void clear_bytes(Mutation *m)
{
    uint32_t at = any_place(m);
    uint32_t length = 1 << random_below(m->random, 14);

    memset(m->out->data + at, 0, MIN(length, m->out->len - at));
}

static void remove_bytes(Mutation *m)
{
    uint32_t at = MAX(any_place(m), INPUT_HEAD);
    uint32_t length = 1 + random_below(m->random, 16);

    if (at + length < m->out->len) {
        g_byte_array_remove_range(m->out, at, length);
    }
}

static void insert_bytes(Mutation *m, uint32_t at, const uint8_t *bytes,
                         uint32_t length)
{
    uint32_t old = m->out->len;

    if (old + length > INPUT_MAX || at > old) {
        return;
    }
    g_byte_array_set_size(m->out, old + length);
    memmove(m->out->data + at + length, m->out->data + at, old - at);
    memcpy(m->out->data + at, bytes, length);
}

static void insert_any(Mutation *m)
{
    uint64_t bytes[] = { random_u64(m->random), random_u64(m->random) };

    insert_bytes(m, MAX(any_place(m), INPUT_HEAD), (uint8_t *)bytes,
                 1 + random_below(m->random, sizeof(bytes)));
}

/*
 * Parts
 */

/* Where a part begins or ends, or close to it, or just anywhere. */
static uint32_t any_cut(Mutation *m)
{
    const SeedPart *part = any_part(m, m->seed);
    uint32_t file = m->out->len - INPUT_HEAD;

    switch (random_below(m->random, 4)) {
    case 0:
        return part->at + random_below(m->random, 3) - 1;
    case 1:
        return part->at + part->length + random_below(m->random, 3) - 1;
    case 2:
        return any_place(m);
    default:
        return INPUT_HEAD + random_below(m->random, file / INPUT_PAGE + 1) *
               INPUT_PAGE;
    }
}

static void cut(Mutation *m)
{
    uint32_t at = MAX(any_cut(m), INPUT_HEAD);

    if (at < m->out->len) {
        g_byte_array_set_size(m->out, at);
    }
}

/* The file is longer, and has unknown bytes at the end. */
static void move_hole(Mutation *m)
{
    stl_be_p(m->out->data + 16, MAX(any_cut(m), INPUT_HEAD) - INPUT_HEAD);
    if (random_below(m->random, 2)) {
        stw_be_p(m->out->data + 14, random_below(m->random, 800));
    }
}

static void copy_part(Mutation *m, const Seed *from, bool insert)
{
    const SeedPart *part = any_part(m, from);
    const SeedPart *to = any_part(m, m->seed);
    g_autofree uint8_t *bytes = g_memdup2(from->input->data + part->at,
                                          part->length);

    if (insert) {
        insert_bytes(m, to->at, bytes, part->length);
    } else if (to->at < m->out->len) {
        memcpy(m->out->data + to->at, bytes,
               MIN(part->length, m->out->len - to->at));
    }
}

static void double_part(Mutation *m)
{
    copy_part(m, m->seed, random_below(m->random, 2));
}

static void borrow_part(Mutation *m)
{
    copy_part(m, g_ptr_array_index(m->seeds, random_below(m->random,
                                                          m->seeds->len)),
              random_below(m->random, 2));
}

static void remove_part(Mutation *m)
{
    const SeedPart *part = any_part(m, m->seed);

    if (part->at + part->length < m->out->len) {
        g_byte_array_remove_range(m->out, part->at, part->length);
    }
}

/* Change a page and no metadata, where checksums cover it. */
static void spoil_page(Mutation *m)
{
    const GArray *pages = m->seed->pages;
    const SeedPart *part;
    uint32_t at;

    if (!pages->len) {
        flip_bit(m);
        return;
    }
    part = &g_array_index(pages, SeedPart,
                          random_below(m->random, pages->len));
    at = part->at + random_below(m->random, part->length);
    if (at < m->out->len) {
        m->out->data[at] ^= 1 << random_below(m->random, 8);
    }
}

/* An entry that stands here several times is chosen more often. */
static void (*const mutations[])(Mutation *m) = {
    set_field, set_field, set_field, add_to_field, add_to_field,
    shift_fields, swap_fields, set_head, set_faults, set_faults, set_faults,
    flip_bit, flip_bit, flip_bit, flip_bit, set_byte, set_byte, clear_bytes,
    remove_bytes, insert_any, cut, move_hole, double_part, borrow_part,
    remove_part, spoil_page, spoil_page, spoil_page,
};

GByteArray *mutate(const GPtrArray *seeds, Random *random)
{
    const Seed *seed = g_ptr_array_index(seeds,
                                         random_below(random, seeds->len));
    Mutation m = {
        .out = g_byte_array_sized_new(seed->input->len + 64),
        .seed = seed, .seeds = seeds, .random = random,
    };
    unsigned count = 1 + random_below(random, 2) * random_below(random, 4);
    bool only_faults = !random_below(random, 8);

    g_byte_array_append(m.out, seed->input->data, seed->input->len);
    if (only_faults || random_below(random, 2)) {
        set_faults(&m);
    }
    while (!only_faults && count--) {
        mutations[random_below(random, ARRAY_SIZE(mutations))](&m);
    }
    /* Without this, no mutation would get beyond the checksums. */
    if (seed->superblock && random_below(random, 8)) {
        seed_seal(m.out->data, m.out->len, seed->superblock);
    }
    return m.out;
}
