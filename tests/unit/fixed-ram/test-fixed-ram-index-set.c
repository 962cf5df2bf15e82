/*
 * fixed-ram: unit tests of the index's section about the working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/index-set.h"
#include "migration/fixed-ram/format/working-set.h"
#include "indexed.h"

/* Where fields lie in the section. */
enum {
    KIND = 0, ZERO = 4, PAGES = 16, RUNS = 24, LIST = 32, PACK = 48,
    PACK_LENGTH = 56,
};

static const ImageRun runs[] = {
    { 0, 1, 3, 11 }, { 0, 0, 2, 1 }, { 0, 1, 1, 99 }, { 0, 1, 20, 60 },
    { 1, 1, 16, 0 },
};

static const ImageIndexOptions packed = {
    .runs = runs, .run_count = ARRAY_SIZE(runs), .pack = true,
};

/* The snapshot is good without its set. */
static void expect_ignored(Fixture *f, const char *words)
{
    g_autoptr(FixedRamIndex) index = get_index(f, &error_abort);

    g_assert_false(index->has_set);
    check_error(g_steal_pointer(&index->set_problem), words);
    g_assert_true(read_all(f, &error_abort));
}

static const Spoil spoils[] = {
    { KIND, 4, SET, 0, "of kind 0, expected 1 or 2" },
    { KIND, 4, SET, 3, "of kind 3, expected 1 or 2" },
    { ZERO, 4, SET, 1, "must be zero" },
    { PAGES, 8, SET, 0, "0 pages in 5 runs" },
    { PAGES, 8, SET, 4, "4 pages in 5 runs" },
    { PAGES, 8, SET, 117, "to 116" },
    { PAGES, 8, SET, UINT64_MAX, "to 116" },
    { RUNS, 8, SET, 0, "in 0 runs" },
    { RUNS, 8, SET, UINT64_MAX, "expected 1 to 1048576 runs" },
    { RUNS, 8, SET, 1ULL << 60, "expected 1 to 1048576 runs" },
    { LIST, 8, ADD, 4, "the working set's list" },
    { LIST, 8, SET, 0, "the working set's list" },
    { LIST, 8, SET, -8, "the working set's list" },
    { LIST, 8, SET, -96, "the working set's list" },
    { LIST, 8, SET, 1ULL << 62, "the working set's list" },
    { PACK, 8, SET, 0, "the packed copy of" },
    { PACK, 8, ADD, 4096, "the packed copy," },
    { PACK, 8, SET, 65536, "the packed copy," },
    { PACK, 8, SET, -65536, "the packed copy," },
    { PACK, 8, SET, 1ULL << 62, "the packed copy," },
    { PACK_LENGTH, 8, SET, 0, "the packed copy of" },
    { PACK_LENGTH, 8, ADD, 1, "the packed copy of" },
    { PACK_LENGTH, 8, SET, 43 * IMAGE_PAGE, "the packed copy of" },
    { PACK_LENGTH, 8, SET, -IMAGE_PAGE, "the packed copy of" },
};

static void test_fields(void)
{
    if (without_sums()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        Fixture f;

        g_test_message("row %zu: %s", i, spoils[i].words);
        setup_as(&f, START, &packed);
        spoil(section_bytes(&f, WORKING_SET), &spoils[i]);
        image_seal(f.img, &f.at);
        expect_ignored(&f, spoils[i].words);
        teardown(&f);
    }
}

static void test_too_short(void)
{
    Fixture f;

    setup_as(&f, START, &(ImageIndexOptions) { .extra = WORKING_SET });
    expect_ignored(&f, "in the middle");
    teardown(&f);
}

/* Make the index's last section, and so the index, @more bytes longer. */
static void lengthen(Fixture *f, unsigned more)
{
    uint8_t *length;

    f->img->parent.size += more;
    g_byte_array_set_size(f->img->bytes, f->img->parent.size);
    f->at.index_length += more;
    stq_le_p(f->img->bytes->data + f->at.superblock + 56, f->at.index_length);
    length = section_bytes(f, WORKING_SET) - 8;
    stq_le_p(length, ldq_le_p(length) + more);
    image_seal(f->img, &f->at);
}

static void test_too_long(void)
{
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &packed);
    lengthen(&f, 8);
    expect_ignored(&f, "longer than its fields");
    teardown(&f);
}

/*
 * A file of 1 PiB with 512 TiB of RAM, its index and its table.  Only the
 * fields of a set are read from a small file.
 */
#define BIG_RAM     (512 * TiB)
#define BIG_FILE    (1024 * TiB)
#define BIG_END     (BIG_RAM + MiB)     /* of the stream */
#define BIG_TABLE   (BIG_RAM + 2 * MiB)
#define BIG_INDEX   (BIG_RAM + 4 * MiB)
#define BIG_LENGTH  MiB                 /* of table and index */

static const FixedRamIndexSet big_set = {
    .pages = 100, .runs = 3, .list_offset = BIG_RAM + 6 * MiB,
    .pack_offset = BIG_RAM + 7 * MiB, .pack_length = 100 * IMAGE_PAGE,
};

/* Returns why @set cannot be in such a file, or NULL. */
static Error *problem_of(const FixedRamIndexSet *set)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(&img->parent, 0, 64);
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    FixedRamSuperblock sb = {
        .stream_end = BIG_END, .index_offset = BIG_INDEX,
        .index_length = BIG_LENGTH,
    };
    FixedRamIndexBlock block = { .length = BIG_RAM, .page_size = IMAGE_PAGE };

    g_array_append_val(index->blocks, block);
    index->table.offset = BIG_TABLE;
    index->table.length = BIG_LENGTH;
    fixed_ram_index_set_encode(set, (SetFields *)img->bytes->data);
    img->parent.size = BIG_FILE;
    fixed_ram_index_set_read(r, &sb, index);
    return g_steal_pointer(&r->error);
}

static void big_good(FixedRamIndexSet set)
{
    Error *err = problem_of(&set);

    if (err) {
        g_test_message("%s", error_get_pretty(err));
        g_test_fail();
    }
    error_free(err);
}

static void big_bad(FixedRamIndexSet set, const char *words)
{
    check_error(problem_of(&set), words);
}

static void test_limits(void)
{
    FixedRamIndexSet set = big_set;

    big_good(set);
    set.pages = set.runs = FIXED_RAM_SET_RUNS_MAX;
    set.pack_offset += 64 * MiB;
    big_good(set);
    set.pages = ++set.runs;
    big_bad(set, "expected 1 to 1048576 runs");

    set = big_set;
    set.pages = BIG_RAM / IMAGE_PAGE;
    big_good(set);
    set.pages++;
    big_bad(set, "pages from this number to");

    set = big_set;
    set.pages = BIG_RAM / IMAGE_PAGE;
    set.list_offset = BIG_RAM + 8 * MiB;
    set.pack_offset = BIG_RAM + 32 * MiB;
    set.pack_length = FIXED_RAM_PACK_MAX;
    big_good(set);
    set.pack_length += IMAGE_PAGE;
    big_bad(set, "the packed copy of");
}

/* @overlap: both overlap there, and are apart one step further away. */
static void place_list(uint64_t overlap, int64_t step, const char *words)
{
    FixedRamIndexSet set = big_set;

    set.list_offset = overlap;
    big_bad(set, words);
    set.list_offset += step;
    big_good(set);
}

static void place_pack(uint64_t overlap, int64_t step, const char *words)
{
    FixedRamIndexSet set = big_set;

    set.pack_offset = overlap;
    big_bad(set, words);
    set.pack_offset += step;
    big_good(set);
}

/* Each part behind the stream over each other one, from both sides. */
static void test_places(void)
{
    uint64_t list_bytes = fixed_ram_index_set_list_bytes(&big_set);
    uint64_t pack_end = big_set.pack_offset + big_set.pack_length;
    int64_t chunk = FIXED_RAM_PACK_CHUNK_BYTES;
    /* The first and the last place of the copy that reach another part. */
    int64_t before = chunk - ROUND_UP(big_set.pack_length, chunk);

    place_list(BIG_END - 8, 8, "the working set's list");
    place_list(BIG_FILE - list_bytes + 8, -8, "the working set's list");
    place_list(BIG_TABLE - list_bytes + 8, -8, "overlap");
    place_list(BIG_TABLE + BIG_LENGTH - 8, 8, "overlap");
    place_list(BIG_INDEX - list_bytes + 8, -8, "overlap");
    place_list(BIG_INDEX + BIG_LENGTH - 8, 8, "overlap");
    place_list(big_set.pack_offset - list_bytes + 8, -8, "overlap");
    place_list(pack_end - 8, 8, "overlap");

    place_pack(BIG_END - chunk, chunk, "the packed copy,");
    place_pack(BIG_FILE + before, -chunk, "the packed copy,");
    place_pack(BIG_TABLE + before, -chunk, "overlap");
    place_pack(BIG_TABLE + BIG_LENGTH - chunk, chunk, "overlap");
    place_pack(BIG_INDEX + before, -chunk, "overlap");
    place_pack(BIG_INDEX + BIG_LENGTH - chunk, chunk, "overlap");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/index-set/fields", test_fields);
    g_test_add_func("/fixed-ram/index-set/too-short", test_too_short);
    g_test_add_func("/fixed-ram/index-set/too-long", test_too_long);
    g_test_add_func("/fixed-ram/index-set/limits", test_limits);
    g_test_add_func("/fixed-ram/index-set/places", test_places);
    return g_test_run();
}
