/*
 * fixed-ram: unit tests of claims of whole extents, and of the zero pages that
 * come with a claim
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"

#define EXTENT  512         /* pages */
#define CLUSTER 16

/* Two extents that huge pages may back, all of them data. */
static FixedRamBlock *add_huge(FixedRamMap *map)
{
    FixedRamBlock *block = add_full(map, "huge", 2 * EXTENT, PAGE);

    block->huge = true;
    return block;
}

/* Page @page of a block that is not in the map yet, or not claimed, is zero. */
static void make_zero(FixedRamBlock *block, uint64_t page)
{
    clear_bit(page, block->data);
    clear_bit(page, block->pending);
    clear_bit(page, block->absent);
}

static void expect_run(const FixedRamClaim *claim, uint64_t first,
                       uint64_t pages)
{
    FixedRamRun run;

    g_assert_true(fixed_ram_claim_next_padded(claim, &run));
    g_assert_cmpuint(run.offset, ==, first * PAGE);
    g_assert_cmpuint(run.length, ==, pages * PAGE);
}

/* An extent of which nothing was claimed: all of it, once. */
static void test_intact(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_huge(map);
    FixedRamClaim claim, again;

    make_zero(block, EXTENT + 7);
    g_assert_true(fixed_ram_map_claim_intact(block, EXTENT + 100, &claim));
    g_assert_cmpuint(claim.extent, ==, 1);
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, (EXTENT - 1) * PAGE);
    g_assert_true(fixed_ram_claim_is_whole(&claim));
    g_assert_false(fixed_ram_map_claim_intact(block, EXTENT + 100, &again));
    g_assert_true(fixed_ram_map_claim_intact(block, EXTENT - 1, &again));
    g_assert_cmpuint(again.extent, ==, 0);
}

static void test_not_intact(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_huge(map);
    FixedRamBlock *small = add_full(map, "small", EXTENT, PAGE);
    FixedRamClaim claim, other;

    /* Another thread has claimed a page of it. */
    g_assert_true(fixed_ram_map_claim_around(block, 3, 1, &other));
    g_assert_false(fixed_ram_map_claim_intact(block, 100, &claim));
    g_assert_cmpuint(bitmap_count_one(block->pending, EXTENT), ==,
                     EXTENT - 1);
    fixed_ram_map_return(&other);
    g_assert_true(fixed_ram_map_claim_intact(block, 100, &claim));

    /* No huge page backs this one. */
    g_assert_false(fixed_ram_map_claim_intact(small, 100, &claim));
    g_assert_cmpuint(bitmap_count_one(small->pending, EXTENT), ==, EXTENT);
}

/* All that is left of an extent, not a word of it. */
static void test_all(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_huge(map);
    FixedRamClaim claim, other;

    g_assert_true(fixed_ram_map_claim_around(block, 3, 1, &other));
    g_assert_true(fixed_ram_map_claim_in(map, 0, false, &claim));
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), <, 100 * PAGE);
    fixed_ram_map_return(&claim);
    g_assert_true(fixed_ram_map_claim_in(map, 0, true, &claim));
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, (EXTENT - 1) * PAGE);
    g_assert_false(fixed_ram_claim_is_whole(&claim));
}

/* Zero pages of a cluster come with its data, on both sides and between. */
static void test_padded(void)
{
    static const unsigned zeros[] = { 32, 33, 36, 40, 46, 47, 48, 63, 64 };
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_huge(map);
    FixedRamRun run = { .offset = 34 * PAGE, .length = 2 * PAGE };
    FixedRamClaim claim;

    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++) {
        make_zero(block, zeros[i]);
    }
    g_assert_true(fixed_ram_map_claim_around(block, 40 + 1, CLUSTER, &claim));
    expect_run(&claim, 32, CLUSTER);

    /* Of a run only what was claimed counts, and the run ends at other data. */
    run.length = 3 * PAGE;
    g_assert_cmpuint(fixed_ram_claim_bytes_in(&claim, &run), ==, 2 * PAGE);
    fixed_ram_claim_drop(&claim, &run);
    expect_run(&claim, 36, 12);
    run.offset = 41 * PAGE;
    run.length = PAGE;
    fixed_ram_claim_drop(&claim, &run);
    expect_run(&claim, 36, 5);
}

/* The claim goes on in the next cluster: so does the run. */
static void test_padded_far(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_huge(map);
    FixedRamClaim claim;
    FixedRamRun run;

    make_zero(block, 31);
    make_zero(block, EXTENT - 1);
    make_zero(block, EXTENT);
    g_assert_true(fixed_ram_map_claim_in(map, 0, true, &claim));
    expect_run(&claim, 0, EXTENT);
    run = (FixedRamRun) { .offset = 0, .length = EXTENT * PAGE };
    fixed_ram_claim_drop(&claim, &run);
    g_assert_false(fixed_ram_claim_next_padded(&claim, &run));

    /* The zero page at the end of the extent before is not taken along. */
    g_assert_true(fixed_ram_map_claim_in(map, 1, true, &claim));
    expect_run(&claim, EXTENT, EXTENT);
}

/* Where no huge page can back the extent zero pages stay away. */
static void test_not_padded(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "small", EXTENT, PAGE);
    FixedRamClaim claim;

    make_zero(block, 3);
    g_assert_true(fixed_ram_map_claim_around(block, 5, CLUSTER, &claim));
    expect_run(&claim, 0, 3);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/pad/intact", test_intact);
    g_test_add_func("/fixed-ram/pad/not-intact", test_not_intact);
    g_test_add_func("/fixed-ram/pad/all", test_all);
    g_test_add_func("/fixed-ram/pad/padded", test_padded);
    g_test_add_func("/fixed-ram/pad/padded-far", test_padded_far);
    g_test_add_func("/fixed-ram/pad/not-padded", test_not_padded);
    return g_test_run();
}
