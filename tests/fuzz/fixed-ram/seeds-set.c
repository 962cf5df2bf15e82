/*
 * fixed-ram: working sets for seeds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "migration/fixed-ram/format/sums.h"
#include "seeds-set.h"

#define CHUNK       (64 * KiB)
#define SET_TYPE    6

typedef struct Touch {
    unsigned block;             /* number in the file */
    uint64_t first;
    uint64_t pages;             /* of these, those that the block has */
} Touch;

/* Backwards and forwards, with and without data, in all blocks. */
static const Touch some[] = {
    { 2, 40, 19 }, { 0, 1, 3 }, { 2, 3, 12 }, { 1, 0, 4 }, { 0, 6, 1 },
    { 2, 20, 1 }, { 0, 0, 1 },
};

/* Nearly all: the loader brings whole extents then. */
static const Touch most[] = {
    { 2, 2, UINT32_MAX }, { 1, 0, UINT32_MAX }, { 0, 0, UINT32_MAX },
};

typedef void TouchFunc(SeedWriter *w, GByteArray *out, unsigned block,
                       uint64_t page, bool data);

/* Call @func for each page of the set, in the set's order. */
static void for_each_page(SeedWriter *w, GByteArray *out, TouchFunc *func)
{
    bool large = w->set == SEED_SET_LARGE;
    const Touch *touches = large ? most : some;
    size_t count = large ? ARRAY_SIZE(most) : ARRAY_SIZE(some);

    for (size_t i = 0; i < count; i++) {
        const Touch *t = &touches[i];
        const DecodedBlock *b = decoded_block(w->d, t->block);
        uint64_t end = MIN(t->first + t->pages, b->length / INPUT_PAGE);

        for (uint64_t page = t->first; page < end; page++) {
            func(w, out, t->block, page, decoded_bit(w->d, b, page));
        }
    }
}

/*
 * The packed copy
 */

static void pack_page(SeedWriter *w, GByteArray *out, unsigned block,
                      uint64_t page, bool data)
{
    uint8_t buf[INPUT_PAGE];

    if (data) {
        decoded_page(w->d, decoded_block(w->d, block), page, buf);
        g_byte_array_append(out, buf, sizeof(buf));
    }
}

static void put_pack(SeedWriter *w, const GByteArray *pack)
{
    uint32_t at;

    if (pack->len) {
        seed_align(w, CHUNK);
        at = w->s->input->len;
        w->pack = seed_here(w);
        w->pack_length = pack->len;
        seed_put(w, pack->data, pack->len);
        seed_end_part(w, at);
    }
}

/*
 * The list
 */

/* Continue the last run of @out, or begin one. */
static void list_page(SeedWriter *w, GByteArray *out, unsigned block,
                      uint64_t page, bool data)
{
    uint8_t *last = out->len ? out->data + out->len - 16 : NULL;
    uint32_t word = block | (uint32_t)data << 16;
    uint8_t run[16];

    w->set_pages++;
    if (last && ldl_le_p(last) == word &&
        ldq_le_p(last + 8) + ldl_le_p(last + 4) == page) {
        stl_le_p(last + 4, ldl_le_p(last + 4) + 1);
        return;
    }
    w->set_runs++;
    stl_le_p(run, word);
    stl_le_p(run + 4, 1);
    stq_le_p(run + 8, page);
    g_byte_array_append(out, run, sizeof(run));
}

static void put_list(SeedWriter *w, const GByteArray *list,
                     const GByteArray *pack)
{
    uint32_t at;

    seed_align(w, 8);
    at = w->s->input->len;
    w->list = seed_here(w);
    for (size_t i = 0; i < list->len; i += 16) {
        seed_put_le(w, 2, lduw_le_p(list->data + i));
        seed_put_le(w, 2, lduw_le_p(list->data + i + 2));
        seed_put_le(w, 4, ldl_le_p(list->data + i + 4));
        seed_put_le(w, 8, ldq_le_p(list->data + i + 8));
    }
    for (size_t i = 0; i < pack->len; i += CHUNK) {
        seed_put_le(w, 8, fixed_ram_sums_get(pack->data + i,
                                             MIN(pack->len - i, CHUNK)));
    }
    w->list_length = seed_here(w) - w->list;
    seed_end_part(w, at);
}

void seed_put_set(SeedWriter *w)
{
    g_autoptr(GByteArray) pack = g_byte_array_new();
    g_autoptr(GByteArray) list = g_byte_array_new();

    if (w->set == SEED_SET_PACKED || w->set == SEED_SET_LARGE) {
        for_each_page(w, pack, pack_page);
    }
    for_each_page(w, list, list_page);
    put_pack(w, pack);
    put_list(w, list, pack);
}

/*
 * Sections
 */

/* The list's checksum is filled in when the seed is sealed. */
void seed_put_set_section(SeedWriter *w)
{
    seed_put_le(w, 4, w->set == SEED_SET_GUESSED ? 2 : 1);
    seed_put_le(w, 4, 0);
    seed_put_le(w, 8, 1700000100);
    seed_put_le(w, 8, w->set_pages);
    seed_put_le(w, 8, w->set_runs);
    seed_put_le(w, 8, w->list);
    seed_put_le(w, 8, 0);
    seed_put_le(w, 8, w->pack);
    seed_put_le(w, 8, w->pack_length);
}

void seed_put_space(SeedWriter *w)
{
    uint64_t from = w->pack ?: w->list;

    seed_put_le(w, 8, from);
    seed_put_le(w, 8, w->list + w->list_length - from);
    seed_put_le(w, 4, 0);
    seed_put_le(w, 4, 12345);
}

/*
 * Sealing
 */

void seed_seal_set(const Input *in, uint8_t *input, size_t size,
                   uint64_t index, uint64_t length)
{
    uint64_t payload, bytes;
    uint64_t at = decoded_section(in, SET_TYPE, index, length, &payload);
    g_autofree uint8_t *list = NULL;
    uint8_t fields[64];

    if (payload != sizeof(fields) ||
        input_read(in, fields, sizeof(fields), at) < sizeof(fields) ||
        ldq_le_p(fields + 24) > 4096 || ldq_le_p(fields + 56) > MiB) {
        return;
    }
    bytes = ldq_le_p(fields + 24) * 16 +
            DIV_ROUND_UP(ldq_le_p(fields + 56), CHUNK) * 8;
    list = g_malloc(MAX(bytes, 1));
    if (input_read(in, list, bytes, ldq_le_p(fields + 32)) == bytes) {
        seed_patch(in, input, size, at + 40, fixed_ram_sums_get(list, bytes));
    }
}
