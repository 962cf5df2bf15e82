/*
 * fixed-ram: what holds for every working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* docs/interop/fixed-ram.rst */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/units.h"
#include "migration/fixed-ram/format/sums.h"
#include "check-set.h"

#define CHUNK   (64 * KiB)

static uint64_t list_bytes(const FixedRamIndexSet *set)
{
    return set->runs * 16 + DIV_ROUND_UP(set->pack_length, CHUNK) * 8;
}

/*
 * The section
 */

/* Behind the stream and inside the file. */
static void check_place(const Decoded *d, const FixedRamSuperblock *sb,
                        uint64_t offset, uint64_t length)
{
    g_assert_cmpuint(offset, >=, sb->stream_end);
    g_assert_cmpuint(offset, <=, d->in->size);
    g_assert_cmpuint(length, <=, d->in->size - offset);
}

static void check_apart(uint64_t a, uint64_t a_length, uint64_t b,
                        uint64_t b_length)
{
    g_assert(!a_length || !b_length || a + a_length <= b || b + b_length <= a);
}

static void check_places(const FixedRamIndex *index,
                         const FixedRamSuperblock *sb, const Decoded *d)
{
    const FixedRamIndexSet *set = &index->set;
    const FixedRamIndexTable *table = &index->table;
    uint64_t bytes = list_bytes(set);

    check_place(d, sb, set->list_offset, bytes);
    g_assert_cmpuint(set->list_offset % 8, ==, 0);
    if (set->pack_length) {
        check_place(d, sb, set->pack_offset, set->pack_length);
        g_assert_cmpuint(set->pack_offset % CHUNK, ==, 0);
    }
    check_apart(set->list_offset, bytes, set->pack_offset, set->pack_length);
    check_apart(set->list_offset, bytes, table->offset, table->length);
    check_apart(set->list_offset, bytes, sb->index_offset, sb->index_length);
    check_apart(set->pack_offset, set->pack_length, table->offset,
                table->length);
    check_apart(set->pack_offset, set->pack_length, sb->index_offset,
                sb->index_length);
}

void check_set_section(const FixedRamIndex *index,
                       const FixedRamSuperblock *sb, const Decoded *d,
                       uint64_t at, uint64_t length)
{
    const FixedRamIndexSet *set = &index->set;

    g_assert_cmpuint(length, ==, 64);
    g_assert_cmpuint(decoded_le(d, at, 8), ==,
                     set->kind == FIXED_RAM_WORKING_SET_KIND_RECORDED ? 1 : 2);
    g_assert_cmpuint(decoded_le(d, at + 8, 8), ==, set->time);
    g_assert_cmpuint(decoded_le(d, at + 16, 8), ==, set->pages);
    g_assert_cmpuint(decoded_le(d, at + 24, 8), ==, set->runs);
    g_assert_cmpuint(decoded_le(d, at + 32, 8), ==, set->list_offset);
    g_assert_cmphex(decoded_le(d, at + 40, 8), ==, set->list_sum);
    g_assert_cmpuint(decoded_le(d, at + 48, 8), ==, set->pack_offset);
    g_assert_cmpuint(decoded_le(d, at + 56, 8), ==, set->pack_length);
    g_assert_cmpuint(set->runs, >=, 1);
    g_assert_cmpuint(set->runs, <=, 1 << 20);
    g_assert_cmpuint(set->runs, <=, set->pages);
    g_assert(!set->pack_length == !set->pack_offset);
    g_assert_cmpuint(set->pack_length % INPUT_PAGE, ==, 0);
    g_assert_cmpuint(set->pack_length / INPUT_PAGE, <=, set->pages);
    check_places(index, sb, d);
}

/*
 * The list
 */

/* Mark the pages of a run, none of which is marked yet. */
static void mark_run(GPtrArray *marks, const Decoded *d,
                     const FixedRamSetRun *run)
{
    const DecodedBlock *b = decoded_block(d, run->block);
    uint64_t pages = b->length / INPUT_PAGE;

    g_assert_cmpuint(run->pages, >, 0);
    g_assert_cmpuint(run->first, <, pages);
    g_assert_cmpuint(run->pages, <=, pages - run->first);
    for (uint64_t page = run->first; page < run->first + run->pages; page++) {
        g_assert(!test_and_set_bit(page, marks->pdata[run->block]));
    }
}

static GPtrArray *marks_new(const Decoded *d)
{
    GPtrArray *marks = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; i < d->blocks->len; i++) {
        g_ptr_array_add(marks, bitmap_new(decoded_block(d, i)->length /
                                          INPUT_PAGE));
    }
    return marks;
}

void check_set(const FixedRamWorkingSet *set, const FixedRamIndex *index,
               const Decoded *d)
{
    const FixedRamIndexSet *where = &index->set;
    uint64_t at = where->list_offset, bytes = list_bytes(where);
    g_autofree uint8_t *list = decoded_bytes(d, at, bytes);
    g_autoptr(GPtrArray) marks = marks_new(d);
    uint64_t pages = 0, data = 0;

    g_assert_cmphex(fixed_ram_sums_get(list, bytes), ==, where->list_sum);
    g_assert_cmpint(set->kind, ==, where->kind);
    g_assert_cmpuint(set->time, ==, where->time);
    g_assert_cmpuint(set->runs->len, ==, where->runs);
    for (size_t i = 0; i < set->runs->len; i++, at += 16) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        g_assert_cmpuint(run->block, <, d->blocks->len);
        g_assert_cmphex(decoded_le(d, at, 4), ==,
                        run->block | (uint32_t)run->data << 16);
        g_assert_cmpuint(decoded_le(d, at + 4, 4), ==, run->pages);
        g_assert_cmpuint(decoded_le(d, at + 8, 8), ==, run->first);
        g_assert_cmpuint(run->packed, ==, data);
        mark_run(marks, d, run);
        pages += run->pages;
        data += run->data ? run->pages : 0;
    }
    g_assert_cmpuint(set->pages, ==, pages);
    g_assert_cmpuint(where->pages, ==, pages);
    g_assert_cmpuint(set->data_pages, ==, data);
    g_assert(!where->pack_length || where->pack_length == data * INPUT_PAGE);
}

/*
 * The packed copy
 */

/* Is the chunk of byte @at of the packed copy what its checksum says? */
static bool chunk_is_right(const FixedRamWorkingSet *set, const Decoded *d,
                           uint64_t at)
{
    uint64_t from = at - at % CHUNK;
    uint64_t length = MIN(CHUNK, set->pack_length - from);
    g_autofree uint8_t *chunk = decoded_bytes(d, set->pack_offset + from,
                                              length);

    return fixed_ram_sums_get(chunk, length) ==
           g_array_index(set->pack_sums, uint64_t, from / CHUNK);
}

bool packed_page(const FixedRamWorkingSet *set, const Decoded *d, size_t i,
                 uint64_t page, bool verified, uint8_t *buf)
{
    uint64_t at = 0;

    for (size_t n = 0; set->pack_offset && n < set->runs->len; n++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, n);
        uint64_t bytes = run->data ? run->pages * INPUT_PAGE : 0;

        if (bytes && run->block == i && page >= run->first &&
            page - run->first < run->pages) {
            at += (page - run->first) * INPUT_PAGE;
            input_read(d->in, buf, INPUT_PAGE, set->pack_offset + at);
            return !verified || chunk_is_right(set, d, at);
        }
        at += bytes;
    }
    return false;
}
