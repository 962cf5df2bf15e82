/*
 * fixed-ram: unit tests of claims
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"

#define WORDS FIXED_RAM_EXTENT_WORDS

/* --- claiming --- */

static void claim_around(FixedRamBlock *block, uint64_t unit, unsigned span,
                         size_t word, uint64_t mask)
{
    FixedRamClaim claim;
    unsigned long before = block->pending[word];

    g_assert_true(fixed_ram_map_claim_around(block, unit, span, &claim));
    g_assert_true(claim.block == block);
    g_assert_cmpuint(claim.extent, ==, unit / block->extent_units);
    g_assert_cmpuint(claim.word, ==,
                     claim.extent * block->extent_units / BITS_PER_LONG);
    for (size_t i = 0; i < WORDS; i++) {
        g_assert_cmphex(claim.mask[i], ==, claim.word + i == word ? mask : 0);
    }
    g_assert_cmphex(block->pending[word], ==, before & ~mask);
}

static void test_around(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 200, PAGE);
    FixedRamBlock *tiny = add_full(map, "tiny", 1, PAGE);
    uint64_t seen[4];
    FixedRamClaim claim;

    /* The aligned group in which the unit lies, not the one it begins. */
    claim_around(block, 5, 1, 0, BIT_ULL(5));
    claim_around(block, 7, 4, 0, 0xd0);         /* 4 to 7 without 5 */
    claim_around(block, 63, 16, 0, 0xffffULL << 48);
    claim_around(block, 64, 2, 1, 3);
    claim_around(block, 127, 64, 1, ~3ULL);
    claim_around(block, 192, 64, 3, 0xff);      /* the last partial word */
    claim_around(tiny, 0, 64, 0, 1);

    /* Not missing any more: false, and its neighbours stay. */
    memcpy(seen, block->pending, sizeof(seen));
    g_assert_false(fixed_ram_map_claim_around(block, 5, 8, &claim));
    g_assert_false(fixed_ram_map_claim_around(block, 48, 64, &claim));
    g_assert_false(fixed_ram_map_claim_around(block, 199, 1, &claim));
    g_assert_false(fixed_ram_map_claim_around(tiny, 0, 1, &claim));
    g_assert_cmpmem(seen, sizeof(seen), block->pending, sizeof(seen));
    g_assert_cmphex(seen[0], ==, 0x0000ffffffffff0fULL);
    g_assert_cmphex(seen[2], ==, ~0ULL);
}

/* Beyond the first extent, where a claim's first word is not the block's. */
static void test_around_far(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 1100, PAGE);
    FixedRamBlock *large = add_full(map, "large", 16 * 100, 16 * PAGE);

    claim_around(block, 511, 4, 7, 0xfULL << 60);
    claim_around(block, 512, 4, 8, 0xf);
    claim_around(block, 700, 64, 10, ~0ULL);
    claim_around(block, 1099, 64, 17, 0xfff);   /* 1088 to 1099 */

    /* Of 32 units an extent, two share a word. */
    claim_around(large, 31, 1, 0, BIT_ULL(31));
    claim_around(large, 32, 2, 0, 3ULL << 32);
    claim_around(large, 64, 4, 1, 0xf);
    claim_around(large, 99, 4, 1, 0xfULL << 32);
}

/* The next claim in extent @extent is @units units from @first on. */
static void expect_claim(FixedRamMap *map, size_t extent, uint64_t first,
                         uint64_t units)
{
    FixedRamClaim claim;
    FixedRamBlock *block;
    FixedRamRun run;

    g_assert_true(fixed_ram_map_claim_in(map, extent, false, &claim));
    block = claim.block;
    g_assert_cmpuint(block->first_extent + claim.extent, ==, extent);
    g_assert_true(fixed_ram_claim_next(&claim, 0, 0, &run));
    g_assert_cmpuint(run.offset, ==, first * block->unit);
    g_assert_cmpuint(run.length, ==, units * block->unit);
    g_assert_false(fixed_ram_claim_next(&claim, run.offset + run.length, 0,
                                        &run));
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, units * block->unit);
    for (uint64_t unit = first; unit < first + units; unit++) {
        g_assert_false(test_bit(unit, block->pending));
    }
}

/*
 * Extent @extent of @map is @units units from @first on: claimed word by word,
 * or at once, and no units of other extents with them.
 */
static void expect_extent(FixedRamMap *map, size_t extent,
                          FixedRamBlock *block, uint64_t first,
                          uint64_t units, bool at_once)
{
    FixedRamClaim claim = {
        .block = block, .extent = extent - block->first_extent,
    };
    FixedRamRun run = fixed_ram_claim_extent(&claim);
    uint64_t unit = first;

    g_assert_cmpuint(run.offset, ==, first * block->unit);
    g_assert_cmpuint(run.length, ==, units * block->unit);
    while (unit < first + units) {
        uint64_t count = at_once ? units : BITS_PER_LONG - unit % BITS_PER_LONG;

        count = MIN(count, first + units - unit);
        expect_claim(map, extent, unit, count);
        unit += count;
    }
    g_assert_false(fixed_ram_map_claim_in(map, extent, false, &claim));
    fixed_ram_map_return(&claim);               /* of nothing */
    g_assert_cmpuint(bitmap_count_one(block->pending, block->units), ==,
                     block->units - units);
    bitmap_set(block->pending, first, units);
}

/* @huge: of 4 KiB pages the host may make huge ones */
static void check_extents(bool huge)
{
    static const struct {
        uint64_t unit, units, extent_units;
    } sizes[] = {
        { 4 * KiB, 1700, 512 }, { 4 * KiB, 1, 512 }, { 4 * KiB, 1024, 512 },
        { 16 * KiB, 300, 128 }, { 64 * KiB, 101, 32 }, { 64 * KiB, 64, 32 },
        { 2 * MiB, 70, 1 }, { 1 * GiB, 66, 1 },
    };
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        add_coarse(map, sizes[i].units, sizes[i].unit)->huge =
            huge && sizes[i].unit == 4 * KiB;
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        FixedRamBlock *block = fixed_ram_map_block(map, i);
        uint64_t per = sizes[i].extent_units;

        for (uint64_t first = 0; first < block->units; first += per) {
            uint64_t units = MIN(per, block->units - first);

            expect_extent(map, block->first_extent + first / per, block,
                          first, units,
                          block->huge && units == per);
        }
    }
}

static void test_extents(void)
{
    check_extents(false);
    check_extents(true);
}

/* Only what is missing, also where another extent has bits in the word. */
static void test_extent_holes(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("block", 600, PAGE);
    FixedRamClaim claim;

    block->huge = true;                         /* and yet too sparse */
    bitmap_set(block->data, 60, 10);            /* across two words */
    set_bit(300, block->data);
    bitmap_set(block->data, 511, 2);            /* across two extents */
    fixed_ram_map_add(map, block);
    claim_around(block, 62, 1, 0, BIT_ULL(62));

    g_assert_true(fixed_ram_map_claim_in(map, 0, false, &claim));
    g_assert_cmphex(claim.mask[0], ==, 0xbULL << 60);
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, 3 * PAGE);
    expect_claim(map, 0, 64, 6);
    expect_claim(map, 0, 300, 1);
    expect_claim(map, 0, 511, 1);
    g_assert_false(fixed_ram_map_claim_in(map, 0, false, &claim));
    g_assert_true(test_bit(512, block->pending));
    expect_claim(map, 1, 512, 1);
}

/* Dense, but a fault was here before: no more than a word. */
static void test_extent_not_intact(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 3 * 512, PAGE);
    FixedRamRun run = { .offset = 703 * PAGE, .length = PAGE };

    block->huge = true;
    claim_around(block, 703, 1, 10, BIT_ULL(63));
    fixed_ram_map_receive(map, block, &run, run.length);
    expect_claim(map, 1, 512, 64);
    expect_claim(map, 1, 576, 64);
    expect_claim(map, 1, 640, 63);
    expect_claim(map, 1, 704, 64);

    /* At any place, the last page included. */
    claim_around(block, 511, 1, 7, BIT_ULL(63));
    expect_claim(map, 0, 0, 64);
    expect_claim(map, 2, 1024, 512);
}

/* The same where a target's pages are larger, so that there are fewer. */
static void test_extent_other_pages(void)
{
    static const uint64_t sizes[] = { 8 * KiB, 16 * KiB };

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        g_autoptr(FixedRamMap) map = fixed_ram_map_new();
        uint64_t per = FIXED_RAM_EXTENT_BYTES / sizes[i];
        FixedRamBlock *block = add_coarse(map, 16 * per, sizes[i]);
        FixedRamClaim claim, other;

        block->huge = true;
        g_assert_true(fixed_ram_map_claim_around(block, per, 1, &other));
        g_assert_true(fixed_ram_map_claim_in(map, 1, false, &claim));
        g_assert_cmphex(claim.mask[0], ==, ~1ULL);
        g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, 63 * sizes[i]);
        g_assert_false(fixed_ram_claim_is_whole(&claim));
        for (size_t extent = 0; extent < 16; extent++) {
            while (fixed_ram_map_claim_in(map, extent, false, &claim)) {
                g_assert_cmpuint(claim.extent, ==, extent);
            }
        }
        g_assert_true(bitmap_empty(block->pending, block->units));
    }
}

/* Two owners in one word: what one does leaves the other's bits alone. */
static void test_shared_word(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *large = add_full(map, "large", 16 * 70, 16 * PAGE);
    FixedRamClaim low, high, again;
    FixedRamRun run;

    g_assert_true(fixed_ram_map_claim_in(map, 1, false, &high));
    g_assert_cmpuint(high.word, ==, 0);
    g_assert_cmphex(high.mask[0], ==, 0xffffffffULL << 32);
    g_assert_cmphex(large->pending[0], ==, 0xffffffffULL);
    g_assert_cmphex(large->pending[1], ==, 0x3f);
    g_assert_true(fixed_ram_map_claim_in(map, 0, false, &low));
    g_assert_cmphex(large->pending[0], ==, 0);

    run = (FixedRamRun) { .offset = 40 * large->unit, .length = large->unit };
    fixed_ram_claim_drop(&high, &run);
    g_assert_cmphex(high.mask[0], ==, (0xffffffffULL << 32) & ~BIT_ULL(40));
    fixed_ram_map_receive(map, large, &run, run.length);
    g_assert_cmphex(large->absent[0], ==, ~BIT_ULL(40));

    fixed_ram_map_return(&high);
    g_assert_cmphex(large->pending[0], ==,
                    (0xffffffffULL << 32) & ~BIT_ULL(40));
    g_assert_false(fixed_ram_map_claim_in(map, 0, false, &again));
    g_assert_true(fixed_ram_map_claim_in(map, 1, false, &again));
    g_assert_cmphex(again.mask[0], ==, high.mask[0]);
    fixed_ram_map_return(&low);
    g_assert_cmphex(large->pending[0], ==, 0xffffffffULL);
    g_assert_cmphex(large->pending[1], ==, 0x3f);
}

/* All that is missing, in the file's order, once. */
static void test_next(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *holes = block_new("holes", 1333, PAGE);
    FixedRamCursor cursor = { };
    uint64_t claimed = 0, before = 0;
    FixedRamClaim claim;

    bitmap_set(holes->data, 100, 33);           /* and nothing in 512..1023 */
    bitmap_set(holes->data, 1332, 1);
    add_full(map, "first", 1200, PAGE);
    add_full(map, "tiny", 1, PAGE)->huge = true;
    fixed_ram_map_add(map, block_new("zero", 100, PAGE));
    fixed_ram_map_add(map, holes);
    add_full(map, "huge", 1100, PAGE)->huge = true;
    add_full(map, "large", 16 * 65, 16 * PAGE);

    while (fixed_ram_map_claim_next(map, &cursor, false, &claim)) {
        FixedRamRun run = { };

        claimed += fixed_ram_claim_bytes(&claim);
        while (fixed_ram_claim_next(&claim, run.offset + run.length, 0,
                                    &run)) {
            /* Orders what lies in different blocks, too. */
            uint64_t place = (claim.block->first_extent + claim.extent) * GiB +
                             run.offset;

            g_assert_true(!before || place > before);
            before = place;
            fixed_ram_map_receive(map, claim.block, &run, run.length);
        }
    }
    g_assert_cmpuint(claimed, ==, map->wanted);
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 0);
}

static void expect_next(FixedRamMap *map, FixedRamCursor *cursor,
                        size_t extent, size_t word)
{
    FixedRamClaim claim;

    g_assert_true(fixed_ram_map_claim_next(map, cursor, false, &claim));
    g_assert_cmpuint(claim.extent, ==, extent);
    for (size_t i = 0; i < WORDS; i++) {
        g_assert_cmphex(claim.mask[i], ==, i == word ? ~0ULL : 0);
    }
}

/* Each loader stays with its extent until that is all claimed. */
static void test_cursors(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 1024 + 128, PAGE);
    FixedRamCursor a = { }, b = { };
    FixedRamClaim claim;

    expect_next(map, &a, 0, 0);
    expect_next(map, &b, 1, 0);
    expect_next(map, &a, 0, 1);
    claim_around(block, 512 + 64, 64, 9, ~0ULL);
    expect_next(map, &b, 1, 2);
    for (size_t word = 2; word < 8; word++) {
        expect_next(map, &a, 0, word);
    }
    expect_next(map, &a, 2, 0);
    expect_next(map, &a, 2, 1);
    g_assert_false(fixed_ram_map_claim_next(map, &a, false, &claim));
    for (size_t word = 3; word < 8; word++) {
        expect_next(map, &b, 1, word);
    }
    g_assert_false(fixed_ram_map_claim_next(map, &b, false, &claim));
    g_assert_true(bitmap_empty(block->pending, block->units));
}

static void test_no_blocks(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamCursor cursor = { };
    FixedRamClaim claim;

    g_assert_false(fixed_ram_map_claim_next(map, &cursor, false, &claim));
    g_assert_null(fixed_ram_map_find(map, 0x1000));
}

/* --- giving back and receiving --- */

static void test_return(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 513, PAGE);
    FixedRamRun middle = { .offset = 8 * PAGE, .length = 500 * PAGE };
    FixedRamCursor cursor = { };
    FixedRamClaim first, second, again;

    block->huge = true;
    g_assert_true(fixed_ram_map_claim_next(map, &cursor, false, &first));
    g_assert_true(fixed_ram_map_claim_next(map, &cursor, false, &second));
    g_assert_false(fixed_ram_map_claim_next(map, &cursor, false, &again));
    g_assert_true(bitmap_empty(block->pending, 513));

    /* What comes back is seen by a fault at once, by loaders after rewind. */
    fixed_ram_claim_drop(&first, &middle);
    fixed_ram_map_return(&first);
    g_assert_cmpuint(bitmap_count_one(block->pending, 513), ==, 12);
    g_assert_false(fixed_ram_map_claim_next(map, &cursor, false, &again));
    g_assert_true(fixed_ram_map_claim_around(block, 5, 1, &again));
    fixed_ram_map_rewind(map);
    g_assert_true(fixed_ram_map_claim_next(map, &cursor, false, &again));
    g_assert_cmphex(again.mask[0], ==, 0xdf);
    g_assert_cmphex(again.mask[7], ==, 0);
    g_assert_true(fixed_ram_map_claim_next(map, &cursor, false, &again));
    g_assert_cmphex(again.mask[0], ==, 0);
    g_assert_cmphex(again.mask[7], ==, 0xfULL << 60);
    g_assert_false(fixed_ram_map_claim_next(map, &cursor, false, &again));
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 513 * PAGE);
}

static void test_receive(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 66, PAGE);
    FixedRamBlock *large = add_full(map, "large", 32, 16 * PAGE);
    FixedRamRun both = { .length = 32 * PAGE };
    unsigned last = 0;

    for (uint64_t unit = 0; unit < 66; unit++) {
        FixedRamRun run = { .offset = unit * PAGE, .length = PAGE };

        g_assert_false(fixed_ram_map_received(block, unit));
        last += fixed_ram_map_receive(map, block, &run, run.length);
        g_assert_true(fixed_ram_map_received(block, unit));
        g_assert_cmpuint(fixed_ram_map_left(map), ==,
                         (65 - unit + 32) * PAGE);
    }
    g_assert_cmpuint(last, ==, 0);
    g_assert_true(fixed_ram_map_receive(map, large, &both, both.length));
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 0);
}

/* A run over many words, with neighbours on both sides. */
static void test_receive_words(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 600, PAGE);
    FixedRamRun run = { .offset = 63 * PAGE, .length = 450 * PAGE };

    g_assert_false(fixed_ram_map_receive(map, block, &run, run.length));
    for (uint64_t unit = 0; unit < 600; unit++) {
        g_assert_cmpint(fixed_ram_map_received(block, unit), ==,
                        unit >= 63 && unit < 513);
    }
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 150 * PAGE);
}

/* --- a claim's runs --- */

static void expect_run(const FixedRamClaim *claim, uint64_t pos, uint64_t gap,
                       uint64_t first, uint64_t units)
{
    uint64_t unit = claim->block->unit;
    FixedRamRun run;

    g_assert_true(fixed_ram_claim_next(claim, pos * unit, gap * unit, &run));
    g_assert_cmpuint(run.offset, ==, first * unit);
    g_assert_cmpuint(run.length, ==, units * unit);
}

static void expect_no_run(const FixedRamClaim *claim, uint64_t pos,
                          uint64_t gap)
{
    FixedRamRun run;

    g_assert_false(fixed_ram_claim_next(claim, pos * claim->block->unit,
                                        gap * claim->block->unit, &run));
}

/* @unit: of the block; the claim is in its extent number 2, from 1024 on */
static void check_runs(uint64_t unit)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_coarse(map, 2000, unit);
    FixedRamClaim claim = { .block = block, .extent = 2, .word = 16 };

    expect_no_run(&claim, 0, 1000);
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, 0);
    claim.mask[0] = 0xe00000000000f00dULL;
    claim.mask[1] = 3;
    claim.mask[7] = BIT_ULL(63);
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, 13 * unit);

    expect_run(&claim, 0, 0, 1024, 1);
    expect_run(&claim, 1024, 0, 1024, 1);
    expect_run(&claim, 1025, 0, 1026, 2);
    expect_run(&claim, 1027, 0, 1027, 1);
    expect_run(&claim, 1028, 0, 1036, 4);
    expect_run(&claim, 1040, 0, 1085, 5);       /* across the words */
    expect_run(&claim, 1090, 0, 1535, 1);
    expect_no_run(&claim, 1536, 0);
    expect_no_run(&claim, 1000000, 0);

    /* With gaps, but only between units of the claim. */
    expect_run(&claim, 0, 1, 1024, 4);
    expect_run(&claim, 0, 7, 1024, 4);
    expect_run(&claim, 0, 8, 1024, 16);
    expect_run(&claim, 0, 44, 1024, 16);
    expect_run(&claim, 0, 45, 1024, 66);
    expect_run(&claim, 0, 444, 1024, 66);
    expect_run(&claim, 0, 445, 1024, 512);
    expect_run(&claim, 1028, 8, 1036, 4);
    expect_run(&claim, 1091, 1000, 1535, 1);
}

static void test_runs(void)
{
    check_runs(PAGE);
    check_runs(KiB);
}

/* A gap that is less than a unit is none; units may be larger than it. */
static void test_runs_small_gap(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_coarse(map, 100, 64 * KiB);
    FixedRamClaim claim = { .block = block, .mask = { 0x15 } };
    FixedRamRun run;

    g_assert_true(fixed_ram_claim_next(&claim, 0, 64 * KiB - 1, &run));
    g_assert_cmpuint(run.length, ==, 64 * KiB);
    g_assert_true(fixed_ram_claim_next(&claim, 0, 64 * KiB, &run));
    g_assert_cmpuint(run.length, ==, 5 * 64 * KiB);

    /* A position within a unit: the next one that begins there or later. */
    g_assert_true(fixed_ram_claim_next(&claim, 1, 0, &run));
    g_assert_cmpuint(run.offset, ==, 2 * 64 * KiB);
}

static void test_drop(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 1100, PAGE);
    FixedRamRun run = { .offset = 570 * PAGE, .length = 200 * PAGE };
    FixedRamClaim claim;

    block->huge = true;
    g_assert_true(fixed_ram_map_claim_in(map, 1, false, &claim));
    fixed_ram_claim_drop(&claim, &run);
    g_assert_cmpuint(fixed_ram_claim_bytes(&claim), ==, 312 * PAGE);
    expect_run(&claim, 0, 0, 512, 58);
    expect_run(&claim, 570, 0, 770, 254);
    expect_run(&claim, 0, 200, 512, 512);
    fixed_ram_claim_drop(&claim, &(FixedRamRun) { 512 * PAGE, 58 * PAGE });
    fixed_ram_claim_drop(&claim, &(FixedRamRun) { 770 * PAGE, 254 * PAGE });
    expect_no_run(&claim, 0, 0);
    fixed_ram_map_return(&claim);
    g_assert_false(fixed_ram_map_claim_in(map, 1, false, &claim));
    g_assert_cmpuint(bitmap_count_one(block->pending, 1100), ==, 588);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/claim/around", test_around);
    g_test_add_func("/fixed-ram/claim/around-far", test_around_far);
    g_test_add_func("/fixed-ram/claim/extents", test_extents);
    g_test_add_func("/fixed-ram/claim/extent-holes", test_extent_holes);
    g_test_add_func("/fixed-ram/claim/extent-not-intact",
                    test_extent_not_intact);
    g_test_add_func("/fixed-ram/claim/extent-other-pages",
                    test_extent_other_pages);
    g_test_add_func("/fixed-ram/claim/shared-word", test_shared_word);
    g_test_add_func("/fixed-ram/claim/next", test_next);
    g_test_add_func("/fixed-ram/claim/cursors", test_cursors);
    g_test_add_func("/fixed-ram/claim/no-blocks", test_no_blocks);
    g_test_add_func("/fixed-ram/claim/return", test_return);
    g_test_add_func("/fixed-ram/claim/receive", test_receive);
    g_test_add_func("/fixed-ram/claim/receive-words", test_receive_words);
    g_test_add_func("/fixed-ram/claim/runs", test_runs);
    g_test_add_func("/fixed-ram/claim/runs-small-gap", test_runs_small_gap);
    g_test_add_func("/fixed-ram/claim/drop", test_drop);
    return g_test_run();
}
