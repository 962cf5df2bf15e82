/*
 * fixed-ram: unit tests of the page map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "migration/fixed-ram/map.h"

#define PAGE 4096ULL

/* A block of @pages pages that hold nothing; the caller sets bits in data. */
static FixedRamBlock *block_new(const char *name, uint64_t pages,
                                uint64_t unit)
{
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);

    g_strlcpy(block->name, name, sizeof(block->name));
    block->length = pages * PAGE;
    block->page_size = PAGE;
    block->unit = unit;
    block->data = bitmap_new(pages);
    return block;
}

/* The same with every page in the file, added to @map. */
static FixedRamBlock *add_full(FixedRamMap *map, const char *name,
                               uint64_t pages, uint64_t unit)
{
    FixedRamBlock *block = block_new(name, pages, unit);

    bitmap_set(block->data, 0, pages);
    fixed_ram_map_add(map, block);
    return block;
}

static void assert_all_missing(const FixedRamBlock *block)
{
    g_assert_cmpuint(bitmap_count_one(block->pending, block->units), ==,
                     block->units);
    g_assert_true(bitmap_empty(block->received, block->units));
    /* Nothing beyond the last unit can ever be claimed. */
    g_assert_cmpuint(bitmap_count_one(block->pending,
                                      ROUND_UP(block->units, BITS_PER_LONG)),
                     ==, block->units);
}

static void test_borders(void)
{
    static const uint64_t pages[] = { 1, 63, 64, 65, 127, 128, 129, 200 };
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    uint64_t sum = 0;
    size_t words = 0;

    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        FixedRamBlock *block = add_full(map, "block", pages[i], PAGE);

        g_assert_cmpuint(block->units, ==, pages[i]);
        g_assert_cmpuint(block->first_word, ==, words);
        g_assert_true(fixed_ram_map_block(map, i) == block);
        assert_all_missing(block);
        g_assert_false(fixed_ram_map_received(block, 0));
        g_assert_false(fixed_ram_map_received(block, pages[i] - 1));
        words += DIV_ROUND_UP(pages[i], 64);
        sum += pages[i] * PAGE;
    }
    g_assert_cmpuint(map->words, ==, words);
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
    g_assert_true(bitmap_full(zero->received, 70));
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
    FixedRamClaim claim, part;
    FixedRamRun run;

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
    g_assert_true(fixed_ram_claim_cut(&claim, &part, &run));
    g_assert_cmpuint(run.offset, ==, 69 * 64 * KiB);
    g_assert_cmpuint(run.length, ==, 64 * KiB);
    g_assert_false(fixed_ram_map_receive(map, &part));
    g_assert_true(fixed_ram_map_received(block, 69));
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 4 * 64 * KiB);
}

static void claim_around(FixedRamBlock *block, uint64_t unit, unsigned span,
                         size_t word, uint64_t mask)
{
    FixedRamClaim claim;
    unsigned long before = block->pending[word];

    g_assert_true(fixed_ram_map_claim_around(block, unit, span, &claim));
    g_assert_true(claim.block == block);
    g_assert_cmpuint(claim.word, ==, word);
    g_assert_cmphex(claim.mask, ==, mask);
    g_assert_cmphex(block->pending[word], ==, before & ~mask);
}

static void test_claim_around(void)
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

/* Walk the map by steps of @bytes: each unit once, in the file's order. */
static void walk(FixedRamMap *map, uint64_t bytes)
{
    FixedRamCursor cursor = { };
    FixedRamClaim claim, part;
    uint64_t last = 0, claimed = 0;
    size_t word = 0;
    FixedRamRun run;

    fixed_ram_map_rewind(map);
    while (fixed_ram_map_claim_next(map, &cursor, bytes, &claim)) {
        uint64_t most = MAX(bytes / claim.block->unit, 1);
        size_t here = claim.block->first_word + claim.word;

        g_assert_cmpuint(ctpop64(claim.mask), <=, most);
        g_assert_cmpuint(ctpop64(claim.mask), >=, 1);
        if (here != word) {
            g_assert_cmpuint(here, >, word);
            word = here;
            last = 0;
        }
        while (fixed_ram_claim_cut(&claim, &part, &run)) {
            g_assert_cmpuint(run.offset, >=, last);
            g_assert_cmpuint(run.offset + run.length, <=,
                             part.block->length);
            last = run.offset + run.length;
            claimed += run.length;
            fixed_ram_map_receive(map, &part);
        }
    }
    g_assert_cmpuint(claimed, ==, map->wanted);
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 0);
}

static void test_claim_next(void)
{
    static const uint64_t steps[] = {
        1, PAGE, 3 * PAGE, 64 * KiB, 63 * PAGE, 64 * PAGE, 1 * GiB,
    };

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        g_autoptr(FixedRamMap) map = fixed_ram_map_new();
        FixedRamBlock *holes = block_new("holes", 333, PAGE);

        for (size_t page = 0; page < 333; page += 1 + page % 5) {
            bitmap_set(holes->data, page, 1);
        }
        add_full(map, "first", 200, PAGE);
        add_full(map, "tiny", 1, PAGE);
        fixed_ram_map_add(map, block_new("zero", 100, PAGE));
        fixed_ram_map_add(map, holes);
        add_full(map, "huge", 16 * 65, 16 * PAGE);
        walk(map, steps[i]);
    }
}

static void test_no_blocks(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamCursor cursor = { };
    FixedRamClaim claim;

    g_assert_false(fixed_ram_map_claim_next(map, &cursor, PAGE, &claim));
    g_assert_null(fixed_ram_map_find(map, 0x1000));
}

static void test_return(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 65, PAGE);
    FixedRamCursor cursor = { };
    FixedRamClaim first, second, again;

    g_assert_true(fixed_ram_map_claim_next(map, &cursor, GiB, &first));
    g_assert_true(fixed_ram_map_claim_next(map, &cursor, GiB, &second));
    g_assert_false(fixed_ram_map_claim_next(map, &cursor, GiB, &again));
    g_assert_true(bitmap_empty(block->pending, 65));

    /* What comes back is seen by a fault at once, by loaders after rewind. */
    first.mask = 0xff00;
    fixed_ram_map_return(&first);
    g_assert_cmphex(block->pending[0], ==, 0xff00);
    g_assert_false(fixed_ram_map_claim_next(map, &cursor, GiB, &again));
    g_assert_true(fixed_ram_map_claim_around(block, 8, 1, &again));
    fixed_ram_map_rewind(map);
    g_assert_true(fixed_ram_map_claim_next(map, &cursor, GiB, &again));
    g_assert_cmphex(again.mask, ==, 0xfe00);
    g_assert_cmpuint(again.word, ==, 0);
    g_assert_false(fixed_ram_map_claim_next(map, &cursor, GiB, &again));
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 65 * PAGE);
}

static void test_receive(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 66, PAGE);
    FixedRamBlock *huge = add_full(map, "huge", 32, 16 * PAGE);
    FixedRamClaim claim;
    unsigned last = 0;

    for (uint64_t unit = 0; unit < 66; unit++) {
        g_assert_true(fixed_ram_map_claim_around(block, unit, 1, &claim));
        g_assert_false(fixed_ram_map_received(block, unit));
        last += fixed_ram_map_receive(map, &claim);
        g_assert_true(fixed_ram_map_received(block, unit));
        g_assert_cmpuint(fixed_ram_map_left(map), ==,
                         (65 - unit + 32) * PAGE);
    }
    g_assert_cmpuint(last, ==, 0);
    g_assert_true(fixed_ram_map_claim_around(huge, 1, 2, &claim));
    g_assert_true(fixed_ram_map_receive(map, &claim));
    g_assert_cmpuint(fixed_ram_map_left(map), ==, 0);
}

static void expect_cut(FixedRamClaim *claim, uint64_t mask, uint64_t unit,
                       uint64_t units)
{
    FixedRamClaim part;
    FixedRamRun run;

    g_assert_true(fixed_ram_claim_cut(claim, &part, &run));
    g_assert_cmphex(part.mask, ==, mask);
    g_assert_true(part.block == claim->block);
    g_assert_cmpuint(part.word, ==, claim->word);
    g_assert_cmphex(claim->mask & mask, ==, 0);
    g_assert_cmpuint(run.offset, ==, unit * claim->block->unit);
    g_assert_cmpuint(run.length, ==, units * claim->block->unit);
}

static void test_claim_cut(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = add_full(map, "block", 400, 2 * PAGE);
    FixedRamClaim claim = {
        .block = block, .word = 2, .mask = 0xe00000000000f00dULL,
    };
    FixedRamClaim part;
    FixedRamRun run;

    expect_cut(&claim, 0x1, 128, 1);
    expect_cut(&claim, 0xc, 130, 2);
    expect_cut(&claim, 0xf000, 140, 4);
    expect_cut(&claim, 0xe000000000000000ULL, 189, 3);
    g_assert_false(fixed_ram_claim_cut(&claim, &part, &run));

    claim.mask = ~0ULL;
    expect_cut(&claim, ~0ULL, 128, 64);
    g_assert_false(fixed_ram_claim_cut(&claim, &part, &run));
}

static void expect_data(const FixedRamBlock *block, uint64_t pos,
                        uint64_t end, uint64_t first, uint64_t pages)
{
    FixedRamRun run;

    g_assert_true(fixed_ram_block_next_data(block, pos * PAGE, end * PAGE,
                                            &run));
    g_assert_cmpuint(run.offset, ==, first * PAGE);
    g_assert_cmpuint(run.length, ==, pages * PAGE);
}

static void test_next_data(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("block", 130, PAGE);
    FixedRamRun run;

    bitmap_set(block->data, 2, 3);
    bitmap_set(block->data, 62, 4);
    bitmap_set(block->data, 129, 1);
    fixed_ram_map_add(map, block);

    expect_data(block, 0, 130, 2, 3);
    expect_data(block, 2, 130, 2, 3);
    expect_data(block, 3, 130, 3, 2);
    expect_data(block, 3, 4, 3, 1);
    expect_data(block, 5, 130, 62, 4);
    expect_data(block, 5, 64, 62, 2);
    expect_data(block, 64, 128, 64, 2);
    expect_data(block, 66, 130, 129, 1);
    g_assert_false(fixed_ram_block_next_data(block, 0, 2 * PAGE, &run));
    g_assert_false(fixed_ram_block_next_data(block, 66 * PAGE, 129 * PAGE,
                                             &run));
    g_assert_false(fixed_ram_block_next_data(block, 130 * PAGE, 130 * PAGE,
                                             &run));
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

/* --- several threads --- */

#define STRESS_THREADS 4

/* How a round goes: widely, or all threads in a few words over and over. */
typedef struct StressKind {
    unsigned rounds;
    uint64_t pages[3];
    int rewind;                 /* of 16 claims, before so many */
    int give_back;              /* of 16 runs, so many */
} StressKind;

static const StressKind stress_wide = { 60, { 1000, 1, 258 }, 1, 4 };
static const StressKind stress_narrow = { 600, { 64, 1, 40 }, 12, 15 };

typedef struct Stress {
    const StressKind *kind;
    FixedRamMap *map;
    unsigned *owner[3];         /* of each block's units: thread or 0 */
    unsigned *times[3];         /* how often each was received */
    unsigned last;              /* how many were told that nothing is left */
    unsigned ready;             /* threads that have begun */
} Stress;

typedef struct StressThread {
    Stress *stress;
    QemuThread thread;
    unsigned id;
    uint32_t seed;
} StressThread;

static size_t stress_block(const Stress *s, const FixedRamBlock *block)
{
    return block == fixed_ram_map_block(s->map, 0) ? 0 :
           block == fixed_ram_map_block(s->map, 1) ? 1 : 2;
}

/* Note the new owner of the claim's units; nobody else may be it. */
static void stress_own(Stress *s, const FixedRamClaim *claim, unsigned from,
                       unsigned to)
{
    unsigned *owner = s->owner[stress_block(s, claim->block)];

    for (unsigned bit = 0; bit < BITS_PER_LONG; bit++) {
        if (claim->mask & BIT_ULL(bit)) {
            size_t unit = claim->word * BITS_PER_LONG + bit;

            g_assert_cmpuint(qatomic_xchg(&owner[unit], to), ==, from);
        }
    }
}

static void stress_receive(Stress *s, const FixedRamClaim *part,
                           const FixedRamRun *run)
{
    unsigned *times = s->times[stress_block(s, part->block)];
    uint64_t unit = part->block->unit;

    for (uint64_t i = 0; i < run->length / unit; i++) {
        qatomic_inc(&times[run->offset / unit + i]);
    }
    if (fixed_ram_map_receive(s->map, part)) {
        qatomic_inc(&s->last);
    }
}

/* Claim something; returns false if nothing was got this time. */
static bool stress_claim(Stress *s, GRand *rand, FixedRamCursor *cursor,
                         FixedRamClaim *claim)
{
    if (g_rand_boolean(rand)) {
        FixedRamBlock *block =
            fixed_ram_map_block(s->map, g_rand_int_range(rand, 0, 3));

        return fixed_ram_map_claim_around(
            block, g_rand_int_range(rand, 0, block->units),
            1 << g_rand_int_range(rand, 0, 7), claim);
    }
    if (g_rand_int_range(rand, 0, 16) < s->kind->rewind) {
        fixed_ram_map_rewind(s->map);
    }
    if (fixed_ram_map_claim_next(s->map, cursor,
                                 g_rand_int_range(rand, 1, 64) * PAGE,
                                 claim)) {
        return true;
    }
    fixed_ram_map_rewind(s->map);
    return false;
}

static void *stress_thread(void *opaque)
{
    StressThread *t = opaque;
    Stress *s = t->stress;
    g_autoptr(GRand) rand = g_rand_new_with_seed(t->seed);
    FixedRamCursor cursor = { };
    FixedRamClaim claim, part;
    FixedRamRun run;

    qatomic_inc(&s->ready);
    while (qatomic_read(&s->ready) < STRESS_THREADS) {
        g_thread_yield();
    }
    while (fixed_ram_map_left(s->map)) {
        if (!stress_claim(s, rand, &cursor, &claim)) {
            continue;
        }
        stress_own(s, &claim, 0, t->id);
        while (fixed_ram_claim_cut(&claim, &part, &run)) {
            if (g_rand_int_range(rand, 0, 16) >= s->kind->give_back) {
                stress_receive(s, &part, &run);
            } else {
                stress_own(s, &part, t->id, 0);
                fixed_ram_map_return(&part);
            }
        }
    }
    return NULL;
}

static void stress_init(Stress *s, GRand *rand)
{
    static const uint64_t units[] = { PAGE, PAGE, 2 * PAGE };

    s->map = fixed_ram_map_new();
    for (size_t i = 0; i < 3; i++) {
        uint64_t pages = s->kind->pages[i];
        FixedRamBlock *block = block_new("block", pages, units[i]);

        for (size_t page = 0; page < pages; page++) {
            if (!page || g_rand_int_range(rand, 0, 4)) {
                set_bit(page, block->data);
            }
        }
        fixed_ram_map_add(s->map, block);
        s->owner[i] = g_new0(unsigned, block->units);
        s->times[i] = g_new0(unsigned, block->units);
    }
}

/* Every unit was received, those with data exactly once. */
static void stress_check(const Stress *s)
{
    g_assert_cmpuint(fixed_ram_map_left(s->map), ==, 0);
    g_assert_cmpuint(s->last, ==, 1);
    for (size_t i = 0; i < 3; i++) {
        FixedRamBlock *block = fixed_ram_map_block(s->map, i);

        for (size_t unit = 0; unit < block->units; unit++) {
            uint64_t next = (unit + 1) * block->unit;
            FixedRamRun run;
            bool data = fixed_ram_block_next_data(block, unit * block->unit,
                                                  next, &run);

            g_assert_cmpuint(s->times[i][unit], ==, data);
            g_assert_true(fixed_ram_map_received(block, unit));
        }
    }
}

static void stress_round(const StressKind *kind, uint32_t seed)
{
    Stress s = { .kind = kind };
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    StressThread threads[STRESS_THREADS];

    stress_init(&s, rand);
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        threads[i] = (StressThread) { &s, .id = i + 1, .seed = seed + i };
        qemu_thread_create(&threads[i].thread, "stress", stress_thread,
                           &threads[i], QEMU_THREAD_JOINABLE);
    }
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        qemu_thread_join(&threads[i].thread);
    }

    stress_check(&s);
    for (size_t i = 0; i < 3; i++) {
        g_free(s.owner[i]);
        g_free(s.times[i]);
    }
    fixed_ram_map_free(s.map);
}

static void test_stress(const void *opaque)
{
    const StressKind *kind = opaque;

    for (unsigned i = 0; i < kind->rounds; i++) {
        stress_round(kind, 1 + 10 * i);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/map/borders", test_borders);
    g_test_add_func("/fixed-ram/map/clear-bits", test_clear_bits);
    g_test_add_func("/fixed-ram/map/large-units", test_large_units);
    g_test_add_func("/fixed-ram/map/claim-around", test_claim_around);
    g_test_add_func("/fixed-ram/map/claim-next", test_claim_next);
    g_test_add_func("/fixed-ram/map/no-blocks", test_no_blocks);
    g_test_add_func("/fixed-ram/map/return", test_return);
    g_test_add_func("/fixed-ram/map/receive", test_receive);
    g_test_add_func("/fixed-ram/map/claim-cut", test_claim_cut);
    g_test_add_func("/fixed-ram/map/next-data", test_next_data);
    g_test_add_func("/fixed-ram/map/find", test_find);
    g_test_add_data_func("/fixed-ram/map/stress-wide", &stress_wide,
                         test_stress);
    g_test_add_data_func("/fixed-ram/map/stress-narrow", &stress_narrow,
                         test_stress);
    return g_test_run();
}
