/*
 * fixed-ram: a snapshot with an index that can be spoilt, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/snapshot.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/format/sumtable.h"
#include "indexed.h"

void setup_as(Fixture *f, uint64_t start, const ImageIndexOptions *o)
{
    f->img = image_new(&(ImageOptions) { .start = start });
    image_fill(f->img);
    image_add_index(f->img, o, &f->at);
}

void setup(Fixture *f)
{
    setup_as(f, START, &(ImageIndexOptions) { });
}

void teardown(Fixture *f)
{
    image_free(f->img);
}

void spoil_field(uint8_t *at, unsigned width, SpoilHow how, uint64_t value)
{
    uint64_t old = ldn_le_p(at, width);

    stn_le_p(at, width, how == ADD ? old + value : value);
}

void spoil(uint8_t *bytes, const Spoil *s)
{
    spoil_field(bytes + s->at, s->width, s->how, s->value);
}

FixedRamIndex *get_index(Fixture *f, Error **errp)
{
    g_autoptr(FixedRamSnapshot) s = fixed_ram_snapshot_open(
        &f->img->parent, f->img->start, IMAGE_PAGE, errp);

    if (!s) {
        return NULL;
    }
    g_assert_cmpint(s->kind, ==, FIXED_RAM_FILE_KIND_FIXED_RAM);
    g_assert_cmpint(s->sb.state, ==, FIXED_RAM_COMPLETE);
    return g_steal_pointer(&s->index);
}

bool read_all(Fixture *f, Error **errp)
{
    g_autoptr(FixedRamIndex) index = get_index(f, errp);
    g_autoptr(FixedRamSumTable) table = NULL;
    uint64_t sum;

    if (!index ||
        !fixed_ram_index_verify_stream(index, &f->img->parent, errp)) {
        return false;
    }
    table = fixed_ram_sumtable_new(index);
    for (uint64_t i = 0; table && i < index->table.length / 8; i++) {
        if (!fixed_ram_sumtable_get(table, &f->img->parent, i, &sum, errp)) {
            return false;
        }
    }
    return true;
}

void check_error(Error *err, const char *words)
{
    const char *text;

    g_assert_nonnull(err);
    text = error_get_pretty(err);
    if (!strstr(text, "'" IMAGE_NAME "'") || !strstr(text, "offset 0x") ||
        !strstr(text, words)) {
        g_test_message("'%s' is not in: %s", words, text);
        g_test_fail();
    }
    error_free(err);
}

void expect_refused(Fixture *f, const char *words)
{
    Error *err = NULL;

    g_assert_null(get_index(f, &err));
    check_error(err, words);
}

void expect_damaged(Fixture *f, const char *words)
{
    Error *err = NULL;

    g_assert_false(read_all(f, &err));
    check_error(err, words);
}

bool is_damaged(Fixture *f)
{
    Error *err = NULL;

    if (read_all(f, &err)) {
        g_assert_null(err);
        return false;
    }
    check_error(err, "");
    return true;
}

uint8_t *section_bytes(Fixture *f, unsigned section)
{
    return f->img->bytes->data +
           (section ? f->at.payload[section] : f->at.index);
}

bool without_sums(void)
{
    if (!fixed_ram_sums_built()) {
        g_test_skip("this build has no libxxhash");
    }
    return !fixed_ram_sums_built();
}
