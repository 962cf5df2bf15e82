/*
 * fixed-ram: unit tests of reading a working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/working-set.h"
#include "indexed.h"

#define RUN_BYTES   16

/* Pages 4 to 6 of each 7 have data; the last run is all pages of block 1. */
static const ImageRun runs[] = {
    { 0, 1, 3, 11 }, { 0, 0, 2, 1 }, { 0, 1, 1, 99 }, { 0, 1, 20, 60 },
    { 1, 1, 16, 0 },
};
#define DATA_PAGES  (3 + 1 + 20 + 16)
#define ALL_PAGES   (DATA_PAGES + 2)

static const ImageIndexOptions packed = {
    .runs = runs, .run_count = ARRAY_SIZE(runs), .pack = true,
};
static const ImageIndexOptions only_list = {
    .runs = runs, .run_count = ARRAY_SIZE(runs),
};

static FixedRamWorkingSet *get_set(Fixture *f, Error **errp)
{
    g_autoptr(FixedRamIndex) index = get_index(f, &error_abort);

    g_assert_null(index->set_problem);
    g_assert_true(index->has_set);
    return fixed_ram_working_set_read(index, &f->img->parent, errp);
}

static void expect_no_set(Fixture *f, const char *words)
{
    Error *err = NULL;

    g_assert_null(get_set(f, &err));
    check_error(err, words);
}

/*
 * What is good
 */

static void check_runs(const FixedRamWorkingSet *set)
{
    uint64_t data = 0;

    g_assert_cmpuint(set->runs->len, ==, ARRAY_SIZE(runs));
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        g_assert_cmpuint(run->block, ==, runs[i].block);
        g_assert_cmpuint(run->first, ==, runs[i].first);
        g_assert_cmpuint(run->pages, ==, runs[i].pages);
        g_assert_cmpint(run->data, ==, runs[i].flags);
        g_assert_cmpuint(run->packed, ==, data);
        data += run->data ? run->pages : 0;
    }
    g_assert_cmpuint(set->data_pages, ==, data);
    g_assert_cmpuint(set->pages, ==, ALL_PAGES);
}

/* Each page lies where its run says. */
static void check_pack(const Fixture *f, const FixedRamWorkingSet *set,
                       const uint8_t *pack)
{
    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        for (uint32_t j = 0; run->data && j < run->pages; j++) {
            g_assert_cmpmem(pack + (run->packed + j) * IMAGE_PAGE, IMAGE_PAGE,
                            image_page(f->img, run->block, run->first + j),
                            IMAGE_PAGE);
        }
    }
}

static void test_good(void)
{
    g_autofree uint8_t *pack = g_malloc(DATA_PAGES * IMAGE_PAGE);
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &packed);
    set = get_set(&f, &error_abort);
    g_assert_cmpint(set->kind, ==, FIXED_RAM_WORKING_SET_KIND_RECORDED);
    g_assert_cmpuint(set->time, ==, IMAGE_SET_TIME);
    check_runs(set);
    g_assert_cmpuint(set->pack_length, ==, DATA_PAGES * IMAGE_PAGE);
    g_assert_cmpuint(fixed_ram_working_set_chunks(set), ==, 3);
    g_assert_true(fixed_ram_working_set_read_pack(
        set, &f.img->parent, 0, set->pack_length, pack, &error_abort));
    check_pack(&f, set, pack);
    memset(pack, 0, DATA_PAGES * IMAGE_PAGE);
    for (uint64_t at = 0; at < set->pack_length; at += IMAGE_CLUSTER) {
        g_assert_true(fixed_ram_working_set_read_pack(
            set, &f.img->parent, at, MIN(set->pack_length - at, IMAGE_CLUSTER),
            pack + at, &error_abort));
    }
    check_pack(&f, set, pack);
    teardown(&f);
}

static void test_only_list(void)
{
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &only_list);
    stl_le_p(section_bytes(&f, WORKING_SET), 2);
    image_seal(f.img, &f.at);
    set = get_set(&f, &error_abort);
    g_assert_cmpint(set->kind, ==, FIXED_RAM_WORKING_SET_KIND_GUESSED);
    check_runs(set);
    g_assert_cmpuint(set->pack_offset | set->pack_length, ==, 0);
    g_assert_cmpuint(fixed_ram_working_set_chunks(set), ==, 0);
    teardown(&f);
}

/* A set of all RAM, backwards, a page a run. */
static void test_all_of_ram(void)
{
    g_autoptr(GArray) all = g_array_new(false, false, sizeof(ImageRun));
    g_autoptr(FixedRamWorkingSet) set = NULL;
    ImageIndexOptions o = { };
    Fixture f;

    if (without_sums()) {
        return;
    }
    for (unsigned block = 0; block < IMAGE_BLOCKS; block++) {
        for (uint64_t page = image_block_pages[block]; page--; ) {
            ImageRun run = { block, image_holds_page(block, page), 1, page };

            g_array_append_val(all, run);
        }
    }
    o.runs = (ImageRun *)all->data;
    o.run_count = all->len;
    setup_as(&f, START, &o);
    set = get_set(&f, &error_abort);
    g_assert_cmpuint(set->pages, ==, 116);
    g_assert_cmpuint(set->runs->len, ==, 116);
    teardown(&f);
}

/* A build without libxxhash cannot verify a set, and says so. */
static void test_unverified(void)
{
    Error *err = NULL;
    Fixture f;

    if (fixed_ram_sums_built()) {
        g_test_skip("this build has libxxhash");
        return;
    }
    setup_as(&f, START, &only_list);
    g_assert_null(get_set(&f, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "without libxxhash"));
    error_free(err);
    teardown(&f);
}

static void test_encode(void)
{
    g_autoptr(FixedRamIndex) index = NULL;
    g_autoptr(GByteArray) bytes = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &packed);
    index = get_index(&f, &error_abort);
    bytes = fixed_ram_index_encode(index);
    g_assert_cmpmem(bytes->data, bytes->len, f.img->bytes->data + f.at.index,
                    f.at.index_length);
    teardown(&f);
}

/*
 * The list
 */

static const Spoil list_spoils[] = {
    { 0, 2, SET, 2, "of block 2, there are 2 blocks" },
    { 0, 2, SET, UINT16_MAX, "of block 65535" },
    { 2, 2, SET, 3, "unknown flags 0x2" },
    { 2, 2, SET, 0x8001, "unknown flags 0x8000" },
    { 2, 2, SET, 0, "bytes of pages with data, but the packed copy has" },
    { 4, 4, SET, 0, "'pc.ram': a run has 0 pages" },
    { 4, 4, SET, 4, "the list has 43 pages, expected 42" },
    { 4, 4, SET, 90, "from page 11 on, the block has 100 pages" },
    { 4, 4, SET, UINT32_MAX, "from page 11 on, the block has 100 pages" },
    { 8, 8, SET, 98, "from page 98 on, the block has 100 pages" },
    { 8, 8, SET, 100, "the block has 100 pages" },
    { 8, 8, SET, UINT64_MAX, "the block has 100 pages" },
    { 8, 8, SET, UINT64_MAX - 2, "the block has 100 pages" },
    /* Twice: as a whole, its last page, its first one, inside of another. */
    { 8, 8, SET, 0, "page 1 is twice" },
    { 8, 8, SET, 58, "page 60 is twice" },
    { 8, 8, SET, 79, "page 79 is twice" },
    { 8, 8, SET, 70, "page 70 is twice" },
    { 8, 8, SET, 97, "page 99 is twice" },
    { RUN_BYTES + 8, 8, SET, 13, "page 13 is twice" },
    { 4 * RUN_BYTES + 4, 4, SET, 17, "vga.rom': a run has 17 pages" },
    { 4 * RUN_BYTES, 2, SET, 0, "page 1 is twice" },
};

static void test_list(void)
{
    if (without_sums()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(list_spoils); i++) {
        Fixture f;

        g_test_message("row %zu: %s", i, list_spoils[i].words);
        setup_as(&f, START, &packed);
        spoil(f.img->bytes->data + f.at.list, &list_spoils[i]);
        image_seal_list(f.img, &f.at);
        expect_no_set(&f, list_spoils[i].words);
        teardown(&f);
    }
}

/* Pages that follow each other and those at the border are no error. */
static void test_neighbours(void)
{
    static const ImageRun touching[] = {
        { 0, 1, 1, 12 }, { 0, 1, 1, 11 }, { 0, 1, 2, 13 }, { 1, 1, 3, 11 },
    };
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &(ImageIndexOptions) {
                 .runs = touching, .run_count = 4,
             });
    set = get_set(&f, &error_abort);
    g_assert_cmpuint(set->runs->len, ==, 4);
    teardown(&f);
}

static void test_list_flips(void)
{
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &packed);
    for (unsigned bit = 0; bit < f.at.list_length * 8; bit++) {
        uint8_t *byte = f.img->bytes->data + f.at.list + bit / 8;

        *byte ^= 1 << bit % 8;
        expect_no_set(&f, "the list has checksum 0x");
        *byte ^= 1 << bit % 8;
    }
    teardown(&f);
}

static void test_unreadable(void)
{
    g_autoptr(FixedRamIndex) index = NULL;
    Error *err = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &packed);
    index = get_index(&f, &error_abort);
    f.img->error = EIO;
    g_assert_null(fixed_ram_working_set_read(index, &f.img->parent, &err));
    check_error(err, "Input/output error");
    teardown(&f);
}

/*
 * The packed copy
 */

static void expect_damaged_pack(Fixture *f, const FixedRamWorkingSet *set,
                                uint64_t at, size_t length, bool damaged)
{
    g_autofree uint8_t *buf = g_malloc(length);
    Error *err = NULL;
    bool ok = fixed_ram_working_set_read_pack(set, &f->img->parent, at, length,
                                              buf, &err);

    g_assert_cmpint(ok, ==, !damaged);
    if (damaged) {
        check_error(err, "the working set's packed copy is damaged");
    }
}

/* Only the chunk with the damage is refused. */
static void test_pack(void)
{
    for (uint64_t chunk = 0; chunk < 3; chunk++) {
        g_autoptr(FixedRamWorkingSet) set = NULL;
        uint64_t length = DATA_PAGES * IMAGE_PAGE;
        uint64_t last = MIN((chunk + 1) * IMAGE_CLUSTER, length) - 1;
        Fixture f;

        if (without_sums()) {
            return;
        }
        setup_as(&f, START, &packed);
        f.img->bytes->data[f.at.pack + last] ^= 0x80;
        set = get_set(&f, &error_abort);
        expect_damaged_pack(&f, set, 0, length, true);
        for (uint64_t i = 0; i < 3; i++) {
            uint64_t at = i * IMAGE_CLUSTER;

            expect_damaged_pack(&f, set, at, MIN(length - at, IMAGE_CLUSTER),
                                i == chunk);
        }
        teardown(&f);
    }
}

static void test_pack_unreadable(void)
{
    g_autofree uint8_t *buf = g_malloc(IMAGE_CLUSTER);
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Error *err = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup_as(&f, START, &packed);
    set = get_set(&f, &error_abort);
    f.img->error = EIO;
    g_assert_false(fixed_ram_working_set_read_pack(
        set, &f.img->parent, 0, IMAGE_CLUSTER, buf, &err));
    check_error(err, "Input/output error");
    teardown(&f);
}

/*
 * A set in memory
 */

static void test_add(void)
{
    g_autoptr(FixedRamWorkingSet) set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);
    static const FixedRamSetRun expected[] = {
        { 5, 0, 3, 0, true }, { 8, 3, 1, 0, false }, { 9, 3, 1, 1, false },
        { 5, 3, 2, 1, true }, { 7, 5, UINT32_MAX, 1, true },
    };

    fixed_ram_working_set_add(set, 0, 5, 1, true);
    fixed_ram_working_set_add(set, 0, 6, 2, true);
    fixed_ram_working_set_add(set, 0, 8, 1, false);
    fixed_ram_working_set_add(set, 1, 9, 1, false);
    fixed_ram_working_set_add(set, 1, 5, 2, true);
    fixed_ram_working_set_add(set, 1, 7, UINT32_MAX, true);
    g_assert_cmpuint(set->runs->len, ==, ARRAY_SIZE(expected));
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        g_assert_cmpuint(run->block, ==, expected[i].block);
        g_assert_cmpuint(run->pages, ==, expected[i].pages);
        g_assert_cmpuint(run->first, ==, expected[i].first);
        g_assert_cmpint(run->data, ==, expected[i].data);
        g_assert_cmpuint(run->packed, ==, expected[i].packed);
    }
    g_assert_cmpuint(set->pages, ==, 7 + (uint64_t)UINT32_MAX);
    g_assert_cmpuint(set->data_pages, ==, 5 + (uint64_t)UINT32_MAX);
}

/* A full set still takes pages that continue its last run. */
static void test_full(void)
{
    g_autoptr(FixedRamWorkingSet) set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);

    for (uint32_t i = 0; i < FIXED_RAM_SET_RUNS_MAX; i++) {
        g_assert_true(fixed_ram_working_set_add(set, 0, i * 2, 1, true));
    }
    g_assert_false(fixed_ram_working_set_add(set, 0, UINT32_MAX, 1, true));
    g_assert_cmpuint(set->pages, ==, FIXED_RAM_SET_RUNS_MAX);
    g_assert_true(fixed_ram_working_set_add(
        set, 0, FIXED_RAM_SET_RUNS_MAX * 2 - 1, 1, true));
    g_assert_cmpuint(set->pages, ==, FIXED_RAM_SET_RUNS_MAX + 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/working-set/good", test_good);
    g_test_add_func("/fixed-ram/working-set/only-list", test_only_list);
    g_test_add_func("/fixed-ram/working-set/all-of-ram", test_all_of_ram);
    g_test_add_func("/fixed-ram/working-set/unverified", test_unverified);
    g_test_add_func("/fixed-ram/working-set/encode", test_encode);
    g_test_add_func("/fixed-ram/working-set/list", test_list);
    g_test_add_func("/fixed-ram/working-set/neighbours", test_neighbours);
    g_test_add_func("/fixed-ram/working-set/list-flips", test_list_flips);
    g_test_add_func("/fixed-ram/working-set/unreadable", test_unreadable);
    g_test_add_func("/fixed-ram/working-set/pack", test_pack);
    g_test_add_func("/fixed-ram/working-set/pack-unreadable",
                    test_pack_unreadable);
    g_test_add_func("/fixed-ram/working-set/add", test_add);
    g_test_add_func("/fixed-ram/working-set/full", test_full);
    return g_test_run();
}
