/*
 * fixed-ram: unit tests of the page map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"

#define HUGE_UNITS (FIXED_RAM_EXTENT_BYTES / PAGE)

static void assert_all_missing(const FixedRamBlock *block)
{
    g_assert_cmpuint(bitmap_count_one(block->pending, block->units), ==,
                     block->units);
    g_assert_true(bitmap_full(block->absent, block->units));
    /* Nothing beyond the last unit can ever be claimed. */
    g_assert_cmpuint(bitmap_count_one(block->pending,
                                      ROUND_UP(block->units, BITS_PER_LONG)),
                     ==, block->units);
}

static void test_borders(void)
{
    static const uint64_t pages[] = {
        1, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1024, 1500,
    };
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    uint64_t sum = 0;
    size_t extents = 0;

    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        FixedRamBlock *block = add_full(map, "block", pages[i], PAGE);

        g_assert_cmpuint(block->units, ==, pages[i]);
        g_assert_cmpuint(block->first_extent, ==, extents);
        g_assert_cmpuint(block->extents, ==, DIV_ROUND_UP(pages[i], 512));
        g_assert_true(fixed_ram_map_block(map, i) == block);
        assert_all_missing(block);
        g_assert_false(fixed_ram_map_received(block, 0));
        g_assert_false(fixed_ram_map_received(block, pages[i] - 1));
        extents += DIV_ROUND_UP(pages[i], 512);
        sum += pages[i] * PAGE;
    }
    g_assert_cmpuint(map->extents, ==, extents);
    g_assert_cmpuint(map->total, ==, sum);
    g_assert_cmpuint(map->wanted, ==, sum);
    g_assert_cmpuint(fixed_ram_map_left(map), ==, sum);
}

/* What the file does not hold is received from the start. */
static void test_clear_bits(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("sparse", 130, PAGE);
    FixedRamBlock *zero = block_new("zero", 70, PAGE);

    bitmap_set(block->data, 0, 1);
    bitmap_set(block->data, 63, 2);
    bitmap_set(block->data, 129, 1);
    fixed_ram_map_add(map, block);
    fixed_ram_map_add(map, zero);

    for (uint64_t i = 0; i < 130; i++) {
        bool data = i == 0 || i == 63 || i == 64 || i == 129;

        g_assert_cmpint(fixed_ram_map_received(block, i), ==, !data);
        g_assert_cmpint(!!test_bit(i, block->pending), ==, data);
    }
    g_assert_true(bitmap_empty(zero->absent, 70));
    g_assert_true(bitmap_empty(zero->pending, 70));
    g_assert_cmpuint(map->total, ==, 200 * PAGE);
    g_assert_cmpuint(map->wanted, ==, 4 * PAGE);
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 4 * PAGE);
}

/* One page with data makes the whole unit missing. */
static void test_large_units(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("huge", 16 * 70, 64 * KiB);
    FixedRamRun run = { .offset = 69 * 64 * KiB, .length = 64 * KiB };
    FixedRamClaim claim;

    bitmap_set(block->data, 15, 1);             /* last page of unit 0 */
    bitmap_set(block->data, 16 * 3, 1);         /* first page of unit 3 */
    bitmap_set(block->data, 16 * 64 - 1, 2);    /* units 63 and 64 */
    bitmap_set(block->data, 16 * 70 - 1, 1);    /* the last page of all */
    fixed_ram_map_add(map, block);

    g_assert_cmpuint(block->units, ==, 70);
    g_assert_cmphex(block->pending[0], ==, BIT_ULL(0) | BIT_ULL(3) |
                                           BIT_ULL(63));
    g_assert_cmphex(block->pending[1], ==, BIT_ULL(0) | BIT_ULL(5));
    g_assert_cmpuint(map->wanted, ==, 5 * 64 * KiB);

    g_assert_true(fixed_ram_map_claim_around(block, 69, 1, &claim));
    g_assert_false(fixed_ram_map_receive(map, block, &run, run.length));
    g_assert_true(fixed_ram_map_received(block, 69));
    g_assert_false(fixed_ram_map_received(block, 64));
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 4 * 64 * KiB);
}

/* Extents are of 2 MiB, or of one unit if that is more. */
static void test_extents(void)
{
    static const struct {
        uint64_t unit, units, extent_units;
    } sizes[] = {
        { 4 * KiB, 513, 512 }, { 16 * KiB, 130, 128 }, { 64 * KiB, 65, 32 },
        { 2 * MiB, 3, 1 }, { 1 * GiB, 70, 1 },
    };
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    size_t extents = 0;

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        FixedRamBlock *block = add_coarse(map, sizes[i].units, sizes[i].unit);
        uint64_t per = sizes[i].extent_units;

        g_assert_cmpuint(block->extent_units, ==, per);
        g_assert_cmpuint(block->extents, ==,
                         DIV_ROUND_UP(sizes[i].units, per));
        g_assert_cmpuint(fixed_ram_map_extent(block, 0), ==, extents);
        g_assert_cmpuint(fixed_ram_map_extent(block, per - 1), ==, extents);
        g_assert_cmpuint(fixed_ram_map_extent(block, per), ==, extents + 1);
        extents += block->extents;
    }
    g_assert_cmpuint(map->extents, ==, extents);

    /* A target with small pages: what a claim has room for sets the limit. */
    g_assert_cmpuint(add_coarse(map, 1000, KiB)->extent_units, ==, 512);
}

/* Data that is claimed or received, and within the block. */
static void test_fetched(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("block", 130, PAGE);
    FixedRamRun run = { .offset = 64 * PAGE, .length = PAGE };
    FixedRamClaim claim;

    bitmap_set(block->data, 63, 3);
    bitmap_set(block->data, 129, 1);
    fixed_ram_map_add(map, block);
    add_full(map, "next", 64, PAGE);

    g_assert_false(fixed_ram_map_was_claimed(block, 0));    /* zero */
    g_assert_false(fixed_ram_map_was_claimed(block, 64));   /* missing */
    g_assert_true(fixed_ram_map_claim_around(block, 64, 1, &claim));
    g_assert_true(fixed_ram_map_was_claimed(block, 64));    /* claimed */
    g_assert_false(fixed_ram_map_was_claimed(block, 63));
    g_assert_false(fixed_ram_map_was_claimed(block, 65));
    fixed_ram_map_receive(map, block, &run, run.length);
    g_assert_true(fixed_ram_map_was_claimed(block, 64));    /* received */

    g_assert_true(fixed_ram_map_claim_around(block, 129, 1, &claim));
    g_assert_true(fixed_ram_map_was_claimed(block, 129));
    g_assert_false(fixed_ram_map_was_claimed(block, 130));
    g_assert_false(fixed_ram_map_was_claimed(block, UINT64_MAX));
    fixed_ram_map_return(&claim);
    g_assert_false(fixed_ram_map_was_claimed(block, 129));
}

/* One page with data is enough for a unit of several. */
static void test_fetched_large_units(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("large", 16 * 4, 64 * KiB);
    FixedRamClaim claim;

    set_bit(16 * 2 - 1, block->data);
    set_bit(16 * 3, block->data);
    fixed_ram_map_add(map, block);
    g_assert_true(fixed_ram_map_claim_around(block, 1, 1, &claim));
    g_assert_false(fixed_ram_map_was_claimed(block, 0));
    g_assert_true(fixed_ram_map_was_claimed(block, 1));
    g_assert_false(fixed_ram_map_was_claimed(block, 2));
    g_assert_false(fixed_ram_map_was_claimed(block, 3));
}

/* Pages of a unit of which only a part is data come together. */
static void test_absent(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *small = block_new("small", 130, PAGE);
    FixedRamBlock *large = block_new("large", 16 * 4, 64 * KiB);
    unsigned long pages[3] = { 0 };
    FixedRamClaim claim;
    FixedRamRun run = { 64 * PAGE, PAGE };

    bitmap_set(small->data, 63, 3);
    set_bit(129, small->data);
    fixed_ram_map_add(map, small);
    set_bit(16 * 2 - 1, large->data);
    fixed_ram_map_add(map, large);
    g_assert_true(fixed_ram_map_claim_around(small, 64, 1, &claim));
    fixed_ram_map_absent(small, pages);
    g_assert_cmpuint(bitmap_count_one(pages, 130), ==, 4);
    bitmap_zero(pages, 130);
    fixed_ram_map_receive(map, small, &run, PAGE);
    fixed_ram_map_absent(small, pages);
    g_assert_cmpuint(bitmap_count_one(pages, 130), ==, 3);
    g_assert_false(test_bit(64, pages));
    bitmap_zero(pages, 130);
    fixed_ram_map_absent(large, pages);
    g_assert_cmpuint(find_first_bit(pages, 64), ==, 16);
    g_assert_cmpuint(find_next_zero_bit(pages, 64, 16), ==, 32);
    g_assert_cmpuint(find_next_bit(pages, 64, 32), ==, 64);
}

static void expect_data(const FixedRamBlock *block, uint64_t pos,
                        uint64_t end, uint64_t gap, uint64_t first,
                        uint64_t pages)
{
    FixedRamRun run;

    g_assert_true(fixed_ram_block_next_data(block, pos * PAGE, end * PAGE,
                                            gap * PAGE, &run));
    g_assert_cmpuint(run.offset, ==, first * PAGE);
    g_assert_cmpuint(run.length, ==, pages * PAGE);
}

static void expect_no_data(const FixedRamBlock *block, uint64_t pos,
                           uint64_t end, uint64_t gap)
{
    FixedRamRun run;

    g_assert_false(fixed_ram_block_next_data(block, pos * PAGE, end * PAGE,
                                             gap * PAGE, &run));
}

/* Data at 2 to 4, 62 to 65, and 129. */
static FixedRamBlock *add_three_runs(FixedRamMap *map)
{
    FixedRamBlock *block = block_new("block", 130, PAGE);

    bitmap_set(block->data, 2, 3);
    bitmap_set(block->data, 62, 4);
    bitmap_set(block->data, 129, 1);
    fixed_ram_map_add(map, block);
    return block;
}

static void test_next_data(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_three_runs(map);

    expect_data(block, 0, 130, 0, 2, 3);
    expect_data(block, 2, 130, 0, 2, 3);
    expect_data(block, 3, 130, 0, 3, 2);
    expect_data(block, 3, 4, 0, 3, 1);
    expect_data(block, 5, 130, 0, 62, 4);
    expect_data(block, 5, 64, 0, 62, 2);
    expect_data(block, 64, 128, 0, 64, 2);
    expect_data(block, 66, 130, 0, 129, 1);
    expect_no_data(block, 0, 2, 0);
    expect_no_data(block, 66, 129, 0);
    expect_no_data(block, 130, 130, 0);
}

/* Zero pages between two runs of data belong to it if they are few. */
static void test_next_data_gap(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_three_runs(map);
    FixedRamRun run;

    expect_data(block, 0, 130, 56, 2, 3);       /* 5 to 61: 57 pages */
    expect_data(block, 0, 130, 57, 2, 64);
    expect_data(block, 3, 130, 57, 3, 63);
    expect_data(block, 0, 130, 63, 2, 128);     /* 66 to 128 */
    expect_data(block, 5, 130, 62, 62, 4);
    expect_data(block, 5, 130, 1000, 62, 68);

    /* Neither before the first nor after the last, nor beyond the end. */
    expect_data(block, 0, 129, 1000, 2, 64);
    expect_data(block, 0, 62, 1000, 2, 3);
    expect_data(block, 0, 63, 1000, 2, 61);
    expect_no_data(block, 66, 129, 1000);

    /* Less than a page is none. */
    g_assert_true(fixed_ram_block_next_data(block, 0, 130 * PAGE,
                                            57 * PAGE - 1, &run));
    g_assert_cmpuint(run.length, ==, 3 * PAGE);
}

static void test_find(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *high = block_new("high", 4, PAGE);
    FixedRamBlock *low = block_new("low", 1, PAGE);
    FixedRamBlock *next = block_new("next", 2, PAGE);
    uintptr_t a = 0x100000, b = 0x10000;

    high->host = (uint8_t *)a;
    low->host = (uint8_t *)b;
    next->host = (uint8_t *)(b + PAGE);         /* adjoins low */
    fixed_ram_map_add(map, high);
    fixed_ram_map_add(map, low);
    fixed_ram_map_add(map, next);

    g_assert_true(fixed_ram_map_find(map, a) == high);
    g_assert_true(fixed_ram_map_find(map, a + 4 * PAGE - 1) == high);
    g_assert_null(fixed_ram_map_find(map, a + 4 * PAGE));
    g_assert_null(fixed_ram_map_find(map, a - 1));
    g_assert_true(fixed_ram_map_find(map, b) == low);
    g_assert_true(fixed_ram_map_find(map, b + PAGE - 1) == low);
    g_assert_true(fixed_ram_map_find(map, b + PAGE) == next);
    g_assert_true(fixed_ram_map_find(map, b + 3 * PAGE - 1) == next);
    g_assert_null(fixed_ram_map_find(map, b + 3 * PAGE));
    g_assert_null(fixed_ram_map_find(map, 0));
    g_assert_null(fixed_ram_map_find(map, UINTPTR_MAX));
}

/* --- huge pages --- */

/* Bits of the first @pages pages of extent @extent, all in 4 KiB units. */
static void fill(FixedRamBlock *block, size_t extent, uint64_t pages)
{
    bitmap_set(block->data, extent * HUGE_UNITS, pages);
}

static bool extent_is_whole(FixedRamMap *map, size_t extent)
{
    FixedRamClaim claim;
    bool whole;

    g_assert_true(fixed_ram_map_claim_in(map, extent, false, &claim));
    whole = fixed_ram_claim_is_whole(&claim);
    fixed_ram_map_return(&claim);
    return whole;
}

static void test_is_whole(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("block", 5 * HUGE_UNITS - 1, PAGE);
    FixedRamClaim claim;

    block->huge = true;
    fill(block, 0, 512);
    fill(block, 1, 256);                        /* half of it is enough */
    fill(block, 2, 255);
    fill(block, 3, 511);
    fill(block, 4, 511);                        /* all there is, too short */
    fixed_ram_map_add(map, block);

    g_assert_true(extent_is_whole(map, 0));
    g_assert_true(extent_is_whole(map, 1));
    g_assert_false(extent_is_whole(map, 2));
    g_assert_true(extent_is_whole(map, 3));
    g_assert_false(extent_is_whole(map, 4));

    /* Another thread has claimed one page of it: not whole. */
    for (uint64_t unit = 0; unit < 512; unit += 73) {
        g_assert_true(fixed_ram_map_claim_around(block, unit, 1, &claim));
        g_assert_false(fixed_ram_claim_is_whole(&claim));
        g_assert_false(extent_is_whole(map, 0));
        fixed_ram_map_return(&claim);
        g_assert_true(extent_is_whole(map, 0));
    }
    block->huge = false;
    g_assert_false(extent_is_whole(map, 0));
}

/* The second block's first extent is not the first of the map. */
static void test_is_whole_second_block(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("second", 2 * HUGE_UNITS, PAGE);

    add_full(map, "first", 513, PAGE)->huge = true;
    block->huge = true;
    fill(block, 0, 100);
    fill(block, 1, 512);
    fixed_ram_map_add(map, block);
    g_assert_true(extent_is_whole(map, 0));
    g_assert_false(extent_is_whole(map, 1));
    g_assert_false(extent_is_whole(map, 2));
    g_assert_true(extent_is_whole(map, 3));
}

/* Units of several pages are the host's huge pages, or not to be moved. */
static void test_is_whole_large_units(void)
{
    static const uint64_t units[] = { 16 * KiB, 64 * KiB, 2 * MiB };

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        g_autoptr(FixedRamMap) map = fixed_ram_map_new();
        FixedRamBlock *block = add_full(map, "large", 2 * HUGE_UNITS,
                                        units[i]);
        g_autoptr(GPtrArray) split = NULL;

        block->huge = true;
        g_assert_false(extent_is_whole(map, 0));
        g_assert_false(extent_is_whole(map, 1));
        split = fixed_ram_map_split_extents(map);
        g_assert_cmpuint(split->len, ==, 0);
    }
}

static void set_whole(FixedRamMap *map, size_t extent)
{
    FixedRamClaim claim;

    g_assert_true(fixed_ram_map_claim_in(map, extent, false, &claim));
    fixed_ram_map_set_whole(&claim);
    fixed_ram_map_return(&claim);
}

/* Of dense extents, those that did not come as one. */
static void test_split(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("block", 5 * HUGE_UNITS + 500, PAGE);
    uint8_t *host = (uint8_t *)(uintptr_t)GiB;
    g_autoptr(GPtrArray) all = NULL;
    g_autoptr(GPtrArray) some = NULL;
    g_autoptr(GPtrArray) none = NULL;

    add_full(map, "other", 1000, PAGE);         /* not huge */
    block->huge = true;
    block->host = host;
    fill(block, 0, 512);
    fill(block, 1, 1);
    fill(block, 2, 256);
    fill(block, 3, 512);
    fill(block, 5, 500);                        /* and nothing in 4 */
    fixed_ram_map_add(map, block);

    all = fixed_ram_map_split_extents(map);
    g_assert_cmpuint(all->len, ==, 3);
    g_assert_true(g_ptr_array_index(all, 0) == host);
    g_assert_true(g_ptr_array_index(all, 1) == host + 4 * MiB);
    g_assert_true(g_ptr_array_index(all, 2) == host + 6 * MiB);

    set_whole(map, block->first_extent + 2);
    some = fixed_ram_map_split_extents(map);
    g_assert_cmpuint(some->len, ==, 2);
    g_assert_true(g_ptr_array_index(some, 0) == host);
    g_assert_true(g_ptr_array_index(some, 1) == host + 6 * MiB);

    set_whole(map, block->first_extent);
    set_whole(map, block->first_extent + 3);
    none = fixed_ram_map_split_extents(map);
    g_assert_cmpuint(none->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/map/borders", test_borders);
    g_test_add_func("/fixed-ram/map/clear-bits", test_clear_bits);
    g_test_add_func("/fixed-ram/map/large-units", test_large_units);
    g_test_add_func("/fixed-ram/map/extents", test_extents);
    g_test_add_func("/fixed-ram/map/fetched", test_fetched);
    g_test_add_func("/fixed-ram/map/fetched-large-units",
                    test_fetched_large_units);
    g_test_add_func("/fixed-ram/map/absent", test_absent);
    g_test_add_func("/fixed-ram/map/next-data", test_next_data);
    g_test_add_func("/fixed-ram/map/next-data-gap", test_next_data_gap);
    g_test_add_func("/fixed-ram/map/find", test_find);
    g_test_add_func("/fixed-ram/map/is-whole", test_is_whole);
    g_test_add_func("/fixed-ram/map/is-whole-second-block",
                    test_is_whole_second_block);
    g_test_add_func("/fixed-ram/map/is-whole-large-units",
                    test_is_whole_large_units);
    g_test_add_func("/fixed-ram/map/split", test_split);
    return g_test_run();
}
