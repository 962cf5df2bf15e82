/*
 * fixed-ram: unit tests of the record of first touches
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/lockable.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/internal.h"
#include "rig.h"

#define TOUCHERS 4

static Rig *rig_new_recording(const RigOptions *kind)
{
    RigOptions o = *kind;

    o.on_demand = o.record = true;
    return rig_new(&o);
}

/* A page, or a unit, of a block. */
typedef struct Place {
    uint32_t block;
    uint64_t number;
} Place;

static Place *get_place(const GArray *places, size_t i)
{
    return &g_array_index(places, Place, i);
}

static GArray *list_pages(const FixedRamWorkingSet *set)
{
    GArray *pages = g_array_new(false, false, sizeof(Place));

    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        for (uint32_t n = 0; n < run->pages; n++) {
            Place place = { .block = run->block, .number = run->first + n };

            g_array_append_val(pages, place);
        }
    }
    return pages;
}

static void check_run(const FixedRamWorkingSet *set, size_t i, uint32_t block,
                      uint64_t first, uint32_t pages)
{
    const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

    g_assert_cmpuint(run->block, ==, block);
    g_assert_cmpuint(run->first, ==, first);
    g_assert_cmpuint(run->pages, ==, pages);
}

static void touch_unit(Rig *rig, unsigned block, uint64_t unit)
{
    FixedRamBlock *b = rig_block(rig, block);

    rig_check_page(rig, b, unit * b->unit / RIG_PAGE);
}

/* Units of the small blocks in an order of their own, zero and not. */
static void touch_in_order(Rig *rig, GArray *expected)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (unsigned i = 0; i < 200; i++) {
        unsigned number = i % 3;
        FixedRamBlock *block = rig_block(rig, number);
        /* The first block's empty extent is not watched. */
        uint64_t unit = g_rand_int_range(rand, 0, MIN(
            block->units, RIG_EMPTY * FIXED_RAM_EXTENT_BYTES / block->unit));
        bool known = false;

        touch_unit(rig, number, unit);
        for (size_t k = 0; k < expected->len; k++) {
            known |= get_place(expected, k)->block == number &&
                     get_place(expected, k)->number == unit;
        }
        if (!known) {
            Place place = { .block = number, .number = unit };

            g_array_append_val(expected, place);
        }
    }
}

/* Exactly what was touched, once, in this order; and loaders did nothing. */
static void test_order(const void *opaque)
{
    g_autoptr(GArray) expected = g_array_new(false, false, sizeof(Place));
    g_autoptr(FixedRamWorkingSet) set = NULL;
    g_autoptr(GArray) pages = NULL;
    Rig *rig = rig_new_recording(opaque);
    uint64_t each;

    if (!rig) {
        return;
    }
    each = rig_block(rig, 0)->unit / RIG_PAGE;
    rig_start(rig);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    touch_in_order(rig, expected);
    touch_in_order(rig, expected);
    g_assert_cmpuint(fixed_ram_load_recorded(rig->load), ==,
                     expected->len * each);
    g_assert_cmpuint(fixed_ram_load_stats(rig->load)->loader_bytes, ==, 0);

    set = fixed_ram_load_end_record(rig->load);
    pages = list_pages(set);
    g_assert_cmpuint(pages->len, ==, expected->len * each);
    for (size_t i = 0; i < pages->len; i++) {
        const Place *want = get_place(expected, i / each);

        g_assert_cmpuint(get_place(pages, i)->block, ==, want->block);
        g_assert_cmpuint(get_place(pages, i)->number, ==,
                         want->number * each + i % each);
    }
    g_assert_null(fixed_ram_load_end_record(rig->load));
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* Pages that follow each other are one run, also with a zero page in it. */
static void test_runs(void)
{
    static const RigOptions o = { .loaders = 1 };
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Rig *rig = rig_new_recording(&o);

    if (!rig) {
        return;
    }
    rig_start(rig);
    for (unsigned unit = 0; unit < 20; unit++) {
        touch_unit(rig, 0, RIG_HOLED * RIG_HUGE + unit);
    }
    touch_unit(rig, 1, 0);
    touch_unit(rig, 0, RIG_HOLED * RIG_HUGE + 20);
    set = fixed_ram_load_end_record(rig->load);
    g_assert_cmpuint(set->runs->len, ==, 3);
    check_run(set, 0, 0, RIG_HOLED * RIG_HUGE, 20);
    check_run(set, 1, 1, 0, 1);
    check_run(set, 2, 0, RIG_HOLED * RIG_HUGE + 20, 1);
    rig_free(rig);
}

/* A record that is full ends, the load does not. */
static void test_full(void)
{
    static const RigOptions o = { .loaders = 1 };
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Rig *rig = rig_new_recording(&o);

    if (!rig) {
        return;
    }
    rig_start(rig);
    set = rig->load->record.set;
    WITH_QEMU_LOCK_GUARD(&rig->load->record.lock) {
        for (uint64_t i = 1; i < FIXED_RAM_SET_RUNS_MAX; i++) {
            fixed_ram_working_set_add(set, 0, 2 * i, 1, true);
        }
    }
    touch_unit(rig, 2, 100);
    touch_unit(rig, 2, 50);
    touch_unit(rig, 2, 101);
    g_assert_true(fixed_ram_load_end_record(rig->load) == set);
    g_assert_cmpuint(set->runs->len, ==, FIXED_RAM_SET_RUNS_MAX);
    check_run(set, set->runs->len - 1, 2, 100, 2);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* A pause during the record, and it goes on from another file. */
static void test_recover(void)
{
    static const RigOptions o = { .loaders = 2 };
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Toucher t = { };
    Rig *rig = rig_new_recording(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 2);
    rig_start(rig);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    touch_unit(rig, 2, rig_data_page(block, 60));
    disk_hang(&rig->disk);
    rig_touch(rig, &t, block, rig_data_page(block, 20));
    disk_wait_inside(&rig->disk, 1);
    rig_pause(rig);
    rig_recover(rig, DISK_GOOD);
    rig_join(&t);
    disk_hold(&rig->disk, false);
    g_assert_cmpuint(fixed_ram_load_stats(rig->load)->loader_bytes, ==, 0);
    set = fixed_ram_load_end_record(rig->load);
    g_assert_cmpuint(set->runs->len, ==, 2);
    check_run(set, 0, 2, rig_data_page(block, 60), 1);
    check_run(set, 1, 2, rig_data_page(block, 20), 1);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* Nothing is lost and nothing is there twice, with several threads. */
static void test_threads(void)
{
    static const RigOptions o = { .loaders = 1 };
    g_autoptr(FixedRamWorkingSet) set = NULL;
    g_autoptr(GArray) pages = NULL;
    Toucher t[TOUCHERS] = { };
    Rig *rig = rig_new_recording(&o);
    unsigned long *seen[RIG_BLOCKS];

    if (!rig) {
        return;
    }
    rig_start(rig);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        t[i].seed = i;
        rig_touch(rig, &t[i], NULL, 0);
    }
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    set = fixed_ram_load_end_record(rig->load);
    pages = list_pages(set);
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        seen[i] = bitmap_new(rig_block(rig, i)->units);
    }
    for (size_t i = 0; i < pages->len; i++) {
        const Place *place = get_place(pages, i);

        g_assert_false(test_and_set_bit(place->number, seen[place->block]));
    }
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        const FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t unit = 0; unit < block->units; unit++) {
            /* Memory that is not watched is zero. */
            g_assert_true(test_bit(unit, seen[i]) ||
                          !test_bit(unit, block->data));
        }
        g_free(seen[i]);
    }
    rig_free(rig);
}

/* Whatever it is at, a load that records can be freed. */
static void test_free(void)
{
    static const RigOptions o = { .loaders = 3 };

    for (int i = 0; i < 20; i++) {
        Rig *rig = rig_new_recording(&o);

        if (!rig) {
            return;
        }
        if (i & 1) {
            rig_start(rig);
        }
        if (i & 2) {
            g_autoptr(FixedRamWorkingSet) set =
                fixed_ram_load_end_record(rig->load);

            g_assert_cmpint(set != NULL, ==, i & 1);
        }
        rig_free(rig);
    }
}

/* An eager load has no first touches. */
static void test_eager(void)
{
    RigOptions o = { .loaders = 1, .record = true };
    Rig *rig = rig_new(&o);

    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    g_assert_null(fixed_ram_load_end_record(rig->load));
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_add_kinds("record/order", test_order);
    g_test_add_func("/fixed-ram/record/runs", test_runs);
    g_test_add_func("/fixed-ram/record/full", test_full);
    g_test_add_func("/fixed-ram/record/recover", test_recover);
    g_test_add_func("/fixed-ram/record/threads", test_threads);
    g_test_add_func("/fixed-ram/record/free", test_free);
    g_test_add_func("/fixed-ram/record/eager", test_eager);
    return g_test_run();
}
