/*
 * fixed-ram: unit tests of the page map under several threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/thread.h"
#include "blocks.h"

#define STRESS_THREADS 4

/*
 * How a round goes: widely, or all threads in a few words over and over.  The
 * first block has whole extents to claim; the units of the third one are so
 * large that several extents share a word.
 */
typedef struct StressKind {
    unsigned rounds;
    uint64_t units[3];
    int rewind;                 /* of 16 claims, before so many */
    int give_back;              /* of 16 runs, so many */
} StressKind;

static const StressKind stress_wide = { 60, { 1300, 1, 75 }, 1, 4 };
static const StressKind stress_narrow = { 600, { 64, 1, 45 }, 12, 15 };

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

/* Note the new owner of the units at @run: there was none other than @from. */
static void stress_own(Stress *s, const FixedRamBlock *block,
                       const FixedRamRun *run, unsigned from, unsigned to)
{
    unsigned *owner = s->owner[stress_block(s, block)];

    g_assert_cmpuint(run->offset + run->length, <=, block->length);
    for (uint64_t i = 0; i < run->length; i += block->unit) {
        uint64_t unit = (run->offset + i) / block->unit;

        g_assert_cmpuint(qatomic_xchg(&owner[unit], to), ==, from);
    }
}

static void stress_own_all(Stress *s, const FixedRamClaim *claim, unsigned id)
{
    FixedRamRun run = { };

    while (fixed_ram_claim_next(claim, run.offset + run.length, 0, &run)) {
        stress_own(s, claim->block, &run, 0, id);
    }
}

static void stress_receive(Stress *s, FixedRamBlock *block,
                           const FixedRamRun *run)
{
    unsigned *times = s->times[stress_block(s, block)];

    for (uint64_t i = 0; i < run->length; i += block->unit) {
        qatomic_inc(&times[(run->offset + i) / block->unit]);
    }
    if (fixed_ram_map_receive(s->map, block, run, run->length)) {
        qatomic_inc(&s->last);
    }
}

/* Claim something; returns false if nothing was got this time. */
static bool stress_claim(Stress *s, GRand *rand, FixedRamCursor *cursor,
                         FixedRamClaim *claim)
{
    switch (g_rand_int_range(rand, 0, 4)) {
    case 0:
        return fixed_ram_map_claim_in(
            s->map, g_rand_int_range(rand, 0, s->map->extents),
            g_rand_boolean(rand), claim);
    case 1:
        if (g_rand_int_range(rand, 0, 16) < s->kind->rewind) {
            fixed_ram_map_rewind(s->map);
        }
        if (fixed_ram_map_claim_next(s->map, cursor, g_rand_boolean(rand),
                                     claim)) {
            return true;
        }
        fixed_ram_map_rewind(s->map);
        return false;
    default: {
        FixedRamBlock *block =
            fixed_ram_map_block(s->map, g_rand_int_range(rand, 0, 3));

        return fixed_ram_map_claim_around(
            block, g_rand_int_range(rand, 0, block->units),
            1 << g_rand_int_range(rand, 0, 7), claim);
    }
    }
}

/* Receive some runs of @claim, and give the rest back. */
static void stress_use(Stress *s, GRand *rand, FixedRamClaim *claim,
                       unsigned id)
{
    FixedRamRun run = { };

    while (fixed_ram_claim_next(claim, run.offset + run.length, 0, &run)) {
        uint64_t units = run.length / claim->block->unit;

        /* A part of the run, as if the rest could not be placed. */
        run.length = g_rand_int_range(rand, 1, units + 1) *
                     claim->block->unit;
        if (g_rand_int_range(rand, 0, 16) >= s->kind->give_back) {
            fixed_ram_claim_drop(claim, &run);
            stress_receive(s, claim->block, &run);
        } else {
            stress_own(s, claim->block, &run, id, 0);
        }
    }
    fixed_ram_map_return(claim);
}

static void *stress_thread(void *opaque)
{
    StressThread *t = opaque;
    Stress *s = t->stress;
    g_autoptr(GRand) rand = g_rand_new_with_seed(t->seed);
    FixedRamCursor cursor = { };
    FixedRamClaim claim;

    qatomic_inc(&s->ready);
    while (qatomic_read(&s->ready) < STRESS_THREADS) {
        g_thread_yield();
    }
    while (fixed_ram_map_left(s->map)) {
        if (stress_claim(s, rand, &cursor, &claim)) {
            stress_own_all(s, &claim, t->id);
            stress_use(s, rand, &claim, t->id);
        }
    }
    return NULL;
}

static void stress_init(Stress *s, GRand *rand)
{
    static const uint64_t sizes[] = { PAGE, PAGE, 16 * PAGE };

    s->map = fixed_ram_map_new();
    for (size_t i = 0; i < 3; i++) {
        uint64_t units = s->kind->units[i];
        uint64_t pages = sizes[i] / PAGE;
        FixedRamBlock *block = block_new("block", units * pages, sizes[i]);

        for (uint64_t unit = 0; unit < units; unit++) {
            if (!unit || g_rand_int_range(rand, 0, 4)) {
                set_bit(unit * pages + g_rand_int_range(rand, 0, pages),
                        block->data);
            }
        }
        block->huge = i == 0;
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
                                                  next, 0, &run);

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
    g_test_add_data_func("/fixed-ram/stress/wide", &stress_wide, test_stress);
    g_test_add_data_func("/fixed-ram/stress/narrow", &stress_narrow,
                         test_stress);
    return g_test_run();
}
