/*
 * fixed-ram: unit tests of working sets that are brought first
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

#define TOUCHERS    4
#define BATCH_PAGES (FIXED_RAM_BATCH_BYTES / RIG_PAGE)

/*
 * Sets
 */


/* The same twice.  No reader lets this pass. */
static void twice(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    rig_set_scattered(set, map);
    rig_set_scattered(set, map);
}

/* No page of it has data. */
static void zeros(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    const FixedRamBlock *block = fixed_ram_map_block(map, 0);

    for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
        if (!test_bit(page, block->data)) {
            rig_set_add(set, map, 0, page, 1);
        }
    }
}

static void nothing(FixedRamWorkingSet *set, const FixedRamMap *map)
{
}

/*
 * Loads
 */

/*
 * Groups of @bytes of a block, in the order in which they come first among
 * @addresses; each as the address where it begins.
 */
static GArray *list_groups(Rig *rig, const GArray *addresses, uint64_t bytes)
{
    GArray *groups = g_array_new(false, false, sizeof(uintptr_t));
    g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);

    for (size_t i = 0; i < addresses->len; i++) {
        uintptr_t addr = g_array_index(addresses, uintptr_t, i);
        FixedRamBlock *block = fixed_ram_map_find(rig->map, addr);

        addr -= (addr - (uintptr_t)block->host) % bytes;
        if (g_hash_table_add(known, (void *)addr)) {
            g_array_append_val(groups, addr);
        }
    }
    return groups;
}

static GArray *list_placed(Rig *rig, uint64_t bytes)
{
    QEMU_LOCK_GUARD(&rig->lock);
    return list_groups(rig, rig->placed, bytes);
}

/* What comes first, in this order, are the groups of the set with data. */
static void check_order(Rig *rig, uint64_t bytes)
{
    g_autoptr(GArray) data = rig_set_data(rig->set, rig->map);
    g_autoptr(GArray) wanted = list_groups(rig, data, bytes);
    g_autoptr(GArray) found = list_placed(rig, bytes);

    g_assert_cmpuint(found->len, >=, wanted->len);
    g_assert_cmpmem(wanted->data, wanted->len * sizeof(uintptr_t),
                    found->data, wanted->len * sizeof(uintptr_t));
}

static bool holds(const GArray *groups, uintptr_t addr, uint64_t bytes)
{
    for (size_t i = 0; i < groups->len; i++) {
        if (addr - g_array_index(groups, uintptr_t, i) < bytes) {
            return true;
        }
    }
    return false;
}

/* Extents in which the set has data are complete before others are begun. */
static void check_extents_first(Rig *rig)
{
    g_autoptr(GArray) data = rig_set_data(rig->set, rig->map);
    g_autoptr(GArray) extents = list_groups(rig, data, FIXED_RAM_EXTENT_BYTES);
    bool others = false;

    QEMU_LOCK_GUARD(&rig->lock);
    for (size_t i = 0; i < rig->placed->len; i++) {
        uintptr_t addr = g_array_index(rig->placed, uintptr_t, i);
        FixedRamBlock *block = fixed_ram_map_find(rig->map, addr);
        bool of_set = holds(extents, addr, FIXED_RAM_EXTENT_BYTES);

        /* Zero pages come by the faults of those that look at them. */
        if (test_bit((addr - (uintptr_t)block->host) / RIG_PAGE,
                     block->data)) {
            g_assert_false(others && of_set);
            others |= !of_set;
        }
    }
    g_assert_true(others);
}

/* Has the page been placed?  A zero page that was not has no page table. */
static bool present(FixedRamBlock *block, uint64_t page)
{
    unsigned char vec;

    g_assert_cmpint(mincore(block->host + page * RIG_PAGE, RIG_PAGE, &vec),
                    ==, 0);
    return vec & 1;
}

/* In order of first touch, from the packed copy or from their places. */
static void load_in_order(const RigOptions *kind, bool pack,
                          RigSetFunc *set)
{
    RigOptions o = *kind;
    const FixedRamLoadStats *stats;
    Rig *rig;

    o.loaders = 1;
    rig = rig_new_replay(&o, set, pack);
    if (!rig) {
        return;
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    g_assert_null(rig->pack_error);
    stats = fixed_ram_load_stats(rig->load);
    g_assert_cmpuint(stats->replay_bytes, >=,
                     rig_set_bytes(rig->set, rig->map));
    if (pack && !o.unit) {
        check_order(rig, RIG_PAGE);
    } else {
        check_order(rig, 64 * KiB);
    }
    check_extents_first(rig);
    rig_free(rig);
}

static void test_packed(const void *opaque)
{
    load_in_order(opaque, true, rig_set_scattered);
    load_in_order(opaque, true, twice);
}

static void test_places(const void *opaque)
{
    load_in_order(opaque, false, rig_set_scattered);
    load_in_order(opaque, false, twice);
}

/* With any number of loaders and of threads that touch pages. */
static void test_touched(const void *opaque)
{
    static RigSetFunc *const sets[] = {
        rig_set_scattered, twice, rig_set_everything, zeros, nothing,
    };

    for (unsigned i = 0; i < 2 * ARRAY_SIZE(sets); i++) {
        RigOptions o = *(const RigOptions *)opaque;
        Toucher t[TOUCHERS] = { };
        Rig *rig;

        o.loaders = i % 4;
        o.sums = i & 1;
        rig = rig_new_replay(&o, sets[i / 2], !(i & 1));
        if (!rig) {
            return;
        }
        g_assert_true(fixed_ram_load_guest_runs(rig->load));
        rig_start(rig);
        for (unsigned n = 0; n < TOUCHERS; n++) {
            t[n].seed = n;
            rig_touch(rig, &t[n], NULL, 0);
        }
        for (unsigned n = 0; n < TOUCHERS; n++) {
            rig_join(&t[n]);
        }
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
        g_assert_null(rig->pack_error);
        rig_stop(rig);
        rig_check_waits(rig);
        rig_free(rig);
    }
}

/*
 * The packed copy is read once from the beginning to the end, and its pages
 * nowhere else; the second half of a set that names each page twice is not
 * read.
 */
static void test_reads(void)
{
    static const RigOptions o = { .loaders = 1 };
    Rig *rig = rig_new_replay(&o, twice, true);
    uint64_t first, pages;

    if (!rig) {
        return;
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    first = rig->set->pack_offset / RIG_PAGE;
    pages = rig->set->pack_length / RIG_PAGE;
    g_assert_cmpuint(pages / 2, >, 2 * BATCH_PAGES);
    for (uint64_t page = 0; page < pages; page++) {
        unsigned times = rig->disk.times[first + page];
        unsigned starts = rig->disk.starts[first + page];

        g_assert_cmpuint(starts, ==, times && page % BATCH_PAGES == 0);
        if (page < pages / 2) {
            g_assert_cmpuint(times, ==, 1);
        } else if (page >= ROUND_UP(pages / 2, BATCH_PAGES)) {
            g_assert_cmpuint(times, ==, 0);
        }
    }
    rig_free(rig);
}

/* A page in the middle of a run of zero pages has been touched. */
static void touch_zero(Rig *rig)
{
    FixedRamBlock *block = rig_block(rig, 0);
    uint64_t page = RIG_SPARSE * RIG_HUGE + RIG_STRIDE / 2;

    g_assert_false(test_bit(page, block->data));
    g_assert_cmpint(fixed_ram_uffd_zero(&rig->load->uffd, block->host +
                                        page * RIG_PAGE, RIG_PAGE), ==, 0);
}

/* Zero pages of the set do not fault any more, and data does not either. */
static void test_zeros(void)
{
    static RigSetFunc *const sets[] = {
        rig_set_scattered, zeros,
    };

    for (unsigned i = 0; i < 8; i++) {
        RigOptions o = { .loaders = 1, .shared = i & 4 };
        Rig *rig = rig_new_replay(&o, sets[i / 2 % 2], i & 1);

        if (!rig) {
            return;
        }
        touch_zero(rig);
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        for (size_t k = 0; k < rig->set->runs->len; k++) {
            const FixedRamSetRun *run = fixed_ram_working_set_run(rig->set, k);
            FixedRamBlock *block = rig_block(rig, run->block);

            for (uint64_t n = run->first; n < run->first + run->pages; n++) {
                uint64_t extent = n / RIG_HUGE;

                /* Memory without data is not watched. */
                g_assert_true(present(block, n) ||
                              (run->block == 0 && extent == RIG_EMPTY));
                rig_check_page(rig, block, n);
            }
        }
        if (sets[i / 2 % 2] == rig_set_scattered) {
            g_assert_cmpuint(fixed_ram_load_stats(rig->load)->faults, ==, 0);
        }
        rig_free(rig);
    }
}

/*
 * A loader has taken the pages out of an extent to make a huge page of them:
 * the set's zero pages must not come there.
 */
static void test_remaking(void)
{
    static const RigOptions o = { .loaders = 1 };
    /* No page of its cluster has data that would bring it along. */
    const uint64_t zero = RIG_SPARSE * RIG_HUGE + RIG_HUGE - 1;

    for (int remaking = 0; remaking < 2; remaking++) {
        Rig *rig = rig_new_replay(&o, zeros, true);

        if (!rig) {
            return;
        }
        if (remaking) {
            set_bit(RIG_SPARSE, rig->load->remaking);
        }
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        g_assert_cmpint(present(rig_block(rig, 0), zero), ==, !remaking);
        clear_bit(RIG_SPARSE, rig->load->remaking);
        rig_free(rig);
    }
}

/* A large set: whole extents come in its order. */
static void test_coarse(void)
{
    static const RigOptions o = { .loaders = 1 };

    for (int pack = 0; pack < 2; pack++) {
        Rig *rig = rig_new_replay(&o, rig_set_everything, pack);

        if (!rig) {
            return;
        }
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
        rig_check_reads(rig, true);
        check_order(rig, FIXED_RAM_EXTENT_BYTES);
        rig_free(rig);
    }
}

/*
 * A fault for a page that is being read from the packed copy waits for that
 * read; one for another page has its own.  A touch may fault more than once: a
 * loader that has placed pages wakes all threads that wait in their extent.
 */
static void test_fault(void)
{
    static const RigOptions o = { .loaders = 1 };
    Rig *rig = rig_new_replay(&o, rig_set_scattered, true);
    g_autoptr(GArray) data = NULL;
    FixedRamBlock *block, *other;
    Toucher in = { }, out = { };
    const FixedRamLoadStats *stats;
    uintptr_t addr;
    uint64_t page;

    if (!rig) {
        return;
    }
    data = rig_set_data(rig->set, rig->map);
    addr = g_array_index(data, uintptr_t, BATCH_PAGES - 1);
    block = fixed_ram_map_find(rig->map, addr);
    page = (addr - (uintptr_t)block->host) / RIG_PAGE;
    other = rig_block(rig, 0);

    disk_hold(&rig->disk, true);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);
    rig_touch(rig, &in, block, page);
    rig_wait_begun(rig, 1);
    rig_touch(rig, &out, other, RIG_EXTENTS * RIG_HUGE + 1);
    disk_wait_inside(&rig->disk, 2);
    disk_hold(&rig->disk, false);
    rig_join(&in);
    rig_join(&out);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    g_assert_cmpuint(rig_reads(rig, block, page, 1), ==, 0);
    /* One of both lies outside of the set. */
    stats = fixed_ram_load_stats(rig->load);
    g_assert_cmpuint(qatomic_read(&stats->faults_outside), >=, 1);
    g_assert_cmpuint(qatomic_read(&stats->faults), >,
                     qatomic_read(&stats->faults_outside));
    rig_check_complete(rig);
    rig_free(rig);
}

/* Loaders are held back, and so is the replay. */
static void test_bandwidth(void)
{
    RigOptions o = { .loaders = 1 };
    Rig *rig = rig_new_replay(&o, rig_set_scattered, true);

    if (!rig) {
        return;
    }
    qatomic_set(&rig->bandwidth, 1);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    for (uint64_t page = 0; page < 100; page++) {
        rig_check_page(rig, rig_block(rig, 2), page);
    }
    g_assert_cmpuint(qatomic_read(&fixed_ram_load_stats(rig->load)->
                                  loader_bytes), <=, FIXED_RAM_BATCH_BYTES);
    qatomic_set(&rig->bandwidth, 0);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* An eager load has no use for a set. */
static void test_eager(void)
{
    RigOptions o = { .loaders = 2, .set = rig_set_scattered, .pack = true };
    Rig *rig = rig_new(&o);

    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_check_reads(rig, true);
    g_assert_cmpuint(fixed_ram_load_stats(rig->load)->replay_bytes, ==, 0);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_add_kinds("replay/packed", test_packed);
    rig_add_kinds("replay/places", test_places);
    rig_add_kinds("replay/touched", test_touched);
    g_test_add_func("/fixed-ram/replay/reads", test_reads);
    g_test_add_func("/fixed-ram/replay/zeros", test_zeros);
    g_test_add_func("/fixed-ram/replay/remaking", test_remaking);
    g_test_add_func("/fixed-ram/replay/coarse", test_coarse);
    g_test_add_func("/fixed-ram/replay/fault", test_fault);
    g_test_add_func("/fixed-ram/replay/bandwidth", test_bandwidth);
    g_test_add_func("/fixed-ram/replay/eager", test_eager);
    return g_test_run();
}
