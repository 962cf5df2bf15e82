/*
 * fixed-ram: what holds for every snapshot and every error
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qapi/error.h"
#include "check.h"
#include "layers.h"

/* The end of the section: its pages have fixed offsets elsewhere. */
#define RAM_EOS 0x10

/* Does the text name the input's file, or one of its layers'? */
static bool names_file(const char *text)
{
    bool named = strstr(text, INPUT_NAME "'");

    for (size_t i = 0; !named && layers_get(i); i++) {
        g_autofree char *name = g_strconcat(layers_get(i)->name, "'", NULL);

        named = strstr(text, name);
    }
    return named;
}

void check_error(Error *err)
{
    const char *text;

    g_assert(err);
    text = error_get_pretty(err);
    if (strstr(text, "its save was cut off")) {
        /* This error concerns the file as a whole. */
    } else if (strstr(text, INPUT_NAME "': layer ")) {
        /* This one concerns another file as a whole. */
    } else if (!names_file(text) || !strstr(text, "offset 0x")) {
        g_error("an error that does not name file and offset: %s", text);
    }
    error_free(err);
}

typedef struct Range {
    uint64_t from, to;
} Range;

static void add_range(GArray *ranges, const Decoded *d, uint64_t from,
                      uint64_t length)
{
    Range range = { .from = from, .to = from + length };

    g_assert(range.to > from);
    g_assert(from > d->in->start);
    g_assert(range.to <= d->in->size);
    g_array_append_val(ranges, range);
}

static gint compare_ranges(gconstpointer a, gconstpointer b)
{
    const Range *x = a, *y = b;

    return x->from < y->from ? -1 : x->from > y->from;
}

/* All ranges that a load reads lie in the file, and no two overlap. */
static void check_ranges(const Decoded *d)
{
    g_autoptr(GArray) ranges = g_array_new(false, false, sizeof(Range));

    for (size_t i = 0; i < d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(d, i);

        add_range(ranges, d, b->header, b->header_end - b->header);
        add_range(ranges, d, b->bitmap,
                  DIV_ROUND_UP(b->length / INPUT_PAGE, 64) * 8);
        add_range(ranges, d, b->pages, b->length);
    }
    g_array_sort(ranges, compare_ranges);
    for (size_t i = 1; i < ranges->len; i++) {
        g_assert(g_array_index(ranges, Range, i - 1).to <=
                 g_array_index(ranges, Range, i).from);
    }
}

static void check_block(const FixedRamBlockInfo *info, const DecodedBlock *b,
                        bool delta)
{
    g_assert_cmpstr(info->name, ==, b->name);
    g_assert_cmpuint(strlen(b->name), ==, b->name_length);
    g_assert_cmpuint(b->name_length, >, 0);
    g_assert_cmpuint(info->header_offset, ==, b->header);
    g_assert_cmpuint(info->length, ==, b->length);
    g_assert_cmpuint(info->bitmap_offset, ==, b->bitmap);
    g_assert_cmpuint(info->pages_offset, ==, b->pages);
    g_assert_cmpuint(b->length % INPUT_PAGE, ==, 0);
    g_assert_cmpuint(b->pages % INPUT_PAGE, ==, 0);
    g_assert_cmpuint(b->version, ==, delta ? 2 : 1);
    g_assert_cmpuint(b->page_size, ==, INPUT_PAGE);
}

void check_snapshot(const FixedRamRamSection *s, const Decoded *d)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    g_assert(d);
    g_assert_cmpuint(s->start, ==, d->in->start);
    g_assert_cmpuint(s->page_size, ==, INPUT_PAGE);
    g_assert_cmpuint(s->ram_end, ==, d->ram_end);
    g_assert_cmpuint(s->ram_end, <, d->in->size);
    g_assert_cmpuint(d->after, ==, RAM_EOS);
    g_assert_cmpuint(s->blocks->len, ==, d->blocks->len);
    for (size_t i = 0; i < s->blocks->len; i++) {
        FixedRamBlockInfo *info = fixed_ram_ramsection_block(s, i);

        check_block(info, decoded_block(d, i), s->delta);
        g_assert(g_hash_table_add(names, info->name));
        g_assert(fixed_ram_ramsection_find(s, info->name) == info);
    }
    check_ranges(d);
}

void check_bitmap(const unsigned long *bitmap, const Decoded *d, size_t i)
{
    const DecodedBlock *b = decoded_block(d, i);
    uint64_t pages = b->length / INPUT_PAGE;

    for (uint64_t page = 0; page < ROUND_UP(pages, 64); page++) {
        g_assert_cmpint(test_bit(page, bitmap), ==,
                        page < pages && decoded_bit(d, b, page));
    }
}
