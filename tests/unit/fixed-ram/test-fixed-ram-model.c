/*
 * fixed-ram: the page map against a simple model of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "blocks.h"

#define ROUNDS      6
#define STEPS       4000
#define CLAIMS      8           /* that are held at the same time */
#define CURSORS     3

typedef enum State { RECEIVED, MISSING, CLAIMED } State;

/* The model of a block: the state of each unit, and nothing else. */
typedef struct ModelBlock {
    FixedRamBlock *block;
    uint8_t *state;             /* of State */
    bool *again;                /* returned since the map was rewound */
} ModelBlock;

typedef struct Model {
    GRand *rand;
    FixedRamMap *map;
    ModelBlock blocks[4];
    size_t nblocks;
    FixedRamClaim claims[CLAIMS];
    bool held[CLAIMS];
    FixedRamCursor cursors[CURSORS];
    uint64_t left;              /* bytes not received */
} Model;

static uint64_t below(Model *m, uint64_t end)
{
    return g_rand_int_range(m->rand, 0, end);
}

/* Data in a few places, in runs of very different lengths. */
static void set_random(Model *m, FixedRamBlock *block)
{
    uint64_t pages = block->length / PAGE;

    for (unsigned i = below(m, 12); i; i--) {
        uint64_t at = below(m, pages);
        uint64_t n = 1 + below(m, 1 + (1 << below(m, 14)));

        bitmap_set(block->data, at, MIN(n, pages - at));
    }
    if (!below(m, 3)) {
        set_bit(pages - 1, block->data);
    }
}

static void add_block(Model *m, uint64_t pages, uint64_t unit)
{
    ModelBlock *b = &m->blocks[m->nblocks++];
    uint64_t per = unit / PAGE;

    b->block = block_new("block", pages, unit);
    b->block->huge = below(m, 2);
    set_random(m, b->block);
    b->state = g_new0(uint8_t, pages / per);
    b->again = g_new0(bool, pages / per);
    for (uint64_t page = 0; page < pages; page++) {
        if (test_bit(page, b->block->data) &&
            b->state[page / per] != MISSING) {
            b->state[page / per] = MISSING;
            m->left += unit;
        }
    }
    fixed_ram_map_add(m->map, b->block);
}

static void model_new(Model *m)
{
    *m = (Model) {
        .rand = g_rand_new_with_seed(g_test_rand_int()),
        .map = fixed_ram_map_new(),
    };
    add_block(m, 2 * FIXED_RAM_PART_BITS + 1000, PAGE);
    add_block(m, 1 + below(m, 700), PAGE);
    add_block(m, 16 * (100 + below(m, 3000)), 16 * PAGE);
    add_block(m, 3 * FIXED_RAM_PART_BITS, PAGE);
    g_assert_cmpuint(m->map->wanted, ==, m->left);
}

static void model_free(Model *m)
{
    for (size_t i = 0; i < m->nblocks; i++) {
        g_free(m->blocks[i].state);
        g_free(m->blocks[i].again);
    }
    fixed_ram_map_free(m->map);
    g_rand_free(m->rand);
}

static ModelBlock *model_block(Model *m, const FixedRamBlock *block)
{
    for (size_t i = 0; i < m->nblocks; i++) {
        if (m->blocks[i].block == block) {
            return &m->blocks[i];
        }
    }
    g_assert_not_reached();
}

/* Units of the model go from @from to @to, one for each unit of @run. */
static void change(ModelBlock *b, const FixedRamRun *run, State from, State to)
{
    uint64_t unit = run->offset / b->block->unit;

    for (uint64_t i = 0; i < run->length / b->block->unit; i++) {
        g_assert_cmpuint(b->state[unit + i], ==, from);
        b->state[unit + i] = to;
    }
}

/* A claim has been made: all of its units were missing. */
static void note_claim(Model *m, size_t n)
{
    FixedRamClaim *claim = &m->claims[n];
    FixedRamRun run = { };

    while (fixed_ram_claim_next(claim, run.offset + run.length, 0, &run)) {
        change(model_block(m, claim->block), &run, MISSING, CLAIMED);
    }
    m->held[n] = true;
}

static void step_around(Model *m, size_t n)
{
    ModelBlock *b = &m->blocks[below(m, m->nblocks)];
    uint64_t unit = below(m, b->block->units);
    bool missing = b->state[unit] == MISSING;

    if (fixed_ram_map_claim_around(b->block, unit, 1 << below(m, 7),
                                   &m->claims[n])) {
        g_assert_true(missing);
        g_assert_true(fixed_ram_claim_has(&m->claims[n],
                                          unit * b->block->unit));
        note_claim(m, n);
    } else {
        g_assert_false(missing);
    }
}

/* Is a unit of extent @extent of the map missing? */
static bool extent_has_missing(Model *m, size_t extent)
{
    for (size_t i = 0; i < m->nblocks; i++) {
        const FixedRamBlock *block = m->blocks[i].block;
        uint64_t unit = (extent - block->first_extent) * block->extent_units;

        if (extent - block->first_extent < block->extents) {
            uint64_t n = MIN(block->extent_units, block->units - unit);

            return memchr(m->blocks[i].state + unit, MISSING, n);
        }
    }
    g_assert_not_reached();
}

static void step_in(Model *m, size_t n)
{
    size_t extent = below(m, m->map->extents);
    bool missing = extent_has_missing(m, extent);

    g_assert_cmpint(fixed_ram_map_claim_in(m->map, extent, below(m, 2),
                                           &m->claims[n]), ==, missing);
    if (missing) {
        g_assert_cmpuint(m->claims[n].block->first_extent +
                         m->claims[n].extent, ==, extent);
        note_claim(m, n);
    }
}

/* Is @unit in the extent that a loader is at? */
static bool loader_is_there(Model *m, const FixedRamBlock *block,
                            uint64_t unit)
{
    for (size_t i = 0; i < CURSORS; i++) {
        if (m->cursors[i].valid && m->cursors[i].extent ==
                                   fixed_ram_map_extent(block, unit)) {
            return true;
        }
    }
    return false;
}

/* No loader finds more: what is missing was returned, or a loader is there. */
static void check_exhausted(Model *m)
{
    for (size_t i = 0; i < m->nblocks; i++) {
        const ModelBlock *b = &m->blocks[i];

        for (uint64_t unit = 0; unit < b->block->units; unit++) {
            if (b->state[unit] == MISSING && !b->again[unit]) {
                g_assert_true(loader_is_there(m, b->block, unit));
            }
        }
    }
}

static void step_next(Model *m, size_t n)
{
    if (fixed_ram_map_claim_next(m->map, &m->cursors[below(m, CURSORS)],
                                 below(m, 2), &m->claims[n])) {
        note_claim(m, n);
    } else {
        check_exhausted(m);
    }
}

static void step_rewind(Model *m)
{
    fixed_ram_map_rewind(m->map);
    for (size_t i = 0; i < m->nblocks; i++) {
        memset(m->blocks[i].again, 0, m->blocks[i].block->units);
    }
}

/* Some of a claim is received, the rest is missing again. */
static void step_end(Model *m, size_t n)
{
    FixedRamClaim *claim = &m->claims[n];
    ModelBlock *b = model_block(m, claim->block);
    FixedRamRun run = { };

    while (fixed_ram_claim_next(claim, run.offset + run.length, 0, &run)) {
        if (below(m, 8)) {
            run.length = (1 + below(m, run.length / b->block->unit)) *
                         b->block->unit;
            m->left -= run.length;
            fixed_ram_claim_drop(claim, &run);
            g_assert_cmpint(fixed_ram_map_receive(m->map, b->block, &run,
                                                  run.length), ==, !m->left);
            change(b, &run, CLAIMED, RECEIVED);
        } else {
            change(b, &run, CLAIMED, MISSING);
            memset(b->again + run.offset / b->block->unit, true,
                   run.length / b->block->unit);
        }
    }
    fixed_ram_map_return(claim);
    m->held[n] = false;
}

static void step(Model *m)
{
    size_t n = below(m, CLAIMS);

    if (m->held[n]) {
        step_end(m, n);
        return;
    }
    switch (below(m, 20)) {
    case 0:
        step_rewind(m);
        break;
    case 1 ... 6:
        step_around(m, n);
        break;
    case 7 ... 9:
        step_in(m, n);
        break;
    default:
        step_next(m, n);
    }
}

static void check_all(Model *m)
{
    g_assert_cmpuint(fixed_ram_map_left(m->map), ==, m->left);
    for (size_t i = 0; i < m->nblocks; i++) {
        const ModelBlock *b = &m->blocks[i];

        for (uint64_t unit = 0; unit < b->block->units; unit++) {
            State state = b->state[unit];

            g_assert_cmpint(fixed_ram_map_received(b->block, unit), ==,
                            state == RECEIVED);
            g_assert_cmpint(!!test_bit(unit, b->block->pending), ==,
                            state == MISSING);
        }
    }
}

static void test_model(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        Model m;

        model_new(&m);
        for (unsigned i = 0; i < STEPS; i++) {
            step(&m);
            if (i % (STEPS / 8) == 0) {
                check_all(&m);
            }
        }
        check_all(&m);
        model_free(&m);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/model/steps", test_model);
    return g_test_run();
}
