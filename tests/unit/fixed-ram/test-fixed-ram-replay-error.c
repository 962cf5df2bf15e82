/*
 * fixed-ram: unit tests of working sets that are damaged or cannot be read
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
#define ROUNDS      200
#define BATCH_PAGES (FIXED_RAM_BATCH_BYTES / RIG_PAGE)

/*
 * Sets that are of no use
 */

static void check_pack_error(Rig *rig, const char *why)
{
    QEMU_LOCK_GUARD(&rig->lock);
    if (why) {
        g_assert_nonnull(rig->pack_error);
        g_assert_nonnull(strstr(error_get_pretty(rig->pack_error), why));
    } else {
        g_assert_null(rig->pack_error);
    }
}

/* Start to touch page number @n of the set's pages with data. */
static void touch_data(Rig *rig, Toucher *t, size_t n)
{
    g_autoptr(GArray) data = rig_set_data(rig->set, rig->map);
    uintptr_t addr = g_array_index(data, uintptr_t, n);
    FixedRamBlock *block = fixed_ram_map_find(rig->map, addr);

    rig_touch(rig, t, block, (addr - (uintptr_t)block->host) / RIG_PAGE);
}

/*
 * What is wrong with the packed copy, if it has been read so far: pages come
 * from their places then, also those for which threads wait.
 */
static void damaged(uint64_t at, bool flip, bool sums, const char *why)
{
    RigOptions o = { .loaders = 2, .sums = sums };
    Rig *rig = rig_new_replay(&o, rig_set_scattered, true);
    Toucher t[TOUCHERS] = { };

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    if (flip) {
        rig->disk.bytes[rig->set->pack_offset + at] ^= 1;
    } else {
        rig->disk.bad = rig->set->pack_offset + ROUND_DOWN(at, RIG_PAGE);
    }
    disk_hold(&rig->disk, true);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 2);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        touch_data(rig, &t[i], i * BATCH_PAGES / 2);
    }
    rig_wait_begun(rig, TOUCHERS);
    disk_hold(&rig->disk, false);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    check_pack_error(rig, why);
    rig_free(rig);
}

static void test_damaged(void)
{
    static const uint64_t places[] = {
        0, RIG_PAGE - 1, 64 * KiB - 1, 64 * KiB, FIXED_RAM_BATCH_BYTES + 70000,
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        damaged(places[i], true, true, "packed copy is damaged");
        damaged(places[i], false, true, "cannot read");
        damaged(places[i], false, false, "cannot read");
    }
    /* The very last byte. */
    damaged(230 * RIG_PAGE, true, true, "packed copy is damaged");
}

/*
 * Loaders end before they have read what the packed copy was to give: threads
 * that wait for these pages have them by faults.
 */
static void test_quit(void)
{
    RigOptions o = { .loaders = 1, .sums = true };
    Rig *rig = rig_new_replay(&o, rig_set_scattered, true);
    Toucher t = { };

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig->disk.bytes[rig->set->pack_offset] ^= 1;
    disk_hold(&rig->disk, true);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);
    touch_data(rig, &t, 0);
    rig_wait_begun(rig, 1);
    fixed_ram_load_quit(rig->load);
    disk_hold(&rig->disk, false);
    rig_join(&t);
    check_pack_error(rig, "packed copy is damaged");
    rig_free(rig);
}

/*
 * The set says of each page whether it has data, and is wrong.  The bitmaps are
 * right.
 */
static void wrong_bits(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    FixedRamBlock *block = fixed_ram_map_block(map, 2);

    for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
        fixed_ram_working_set_add(set, 2, page, 1,
                                  !test_bit(page, block->data));
    }
}

static void test_wrong_bits(void)
{
    RigOptions o = {
        .loaders = 1, .on_demand = true, .set = wrong_bits, .more = 4,
    };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    /* Any bytes will do as a packed copy. */
    rig->set->pack_offset = rig_block(rig, 0)->pages_offset;
    rig->set->pack_length = rig->set->data_pages * RIG_PAGE;
    rig->load->replay.packed = true;
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    check_pack_error(rig, NULL);
    rig_free(rig);
}

/*
 * Pause and recovery
 */

static unsigned packed_reads(Rig *rig)
{
    uint64_t first = rig->set->pack_offset / RIG_PAGE;
    unsigned reads = 0;

    for (uint64_t i = 0; i < rig->set->pack_length / RIG_PAGE; i++) {
        reads += rig->disk.times[first + i];
    }
    return reads;
}

/* All loaders hang, and the load goes on without them, from another file. */
static void hang(unsigned loaders, bool pack)
{
    RigOptions o = { .loaders = loaders, .sums = true };
    Rig *rig = rig_new_replay(&o, rig_set_scattered, pack);
    const FixedRamLoadStats *stats;
    Toucher t = { };

    if (!rig) {
        return;
    }
    stats = fixed_ram_load_stats(rig->load);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    disk_hang(&rig->disk);
    rig_start(rig);
    disk_wait_inside(&rig->disk, loaders);
    touch_data(rig, &t, 0);
    rig_wait_begun(rig, 1);
    rig_pause(rig);
    rig_recover(rig, DISK_GOOD);
    rig_join(&t);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    if (loaders == 1) {
        /* The thread that waited may have been served first. */
        g_assert_cmpuint(stats->replay_bytes + stats->fault_bytes, >=,
                         rig_set_bytes(rig->set, rig->map));
    }
    /* Another file need not have the packed copy there. */
    g_assert_cmpuint(packed_reads(rig), ==, 0);
    rig_check_complete(rig);
    check_pack_error(rig, NULL);
    rig_leave(rig);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}

static void test_hang(void)
{
    for (unsigned loaders = 1; loaders <= 3; loaders++) {
        hang(loaders, false);
        hang(loaders, true);
    }
}

/* The read returns during the pause: what it read is not placed. */
static void test_return(void)
{
    for (int pack = 0; pack < 2; pack++) {
        RigOptions o = { .loaders = 2 };
        Rig *rig = rig_new_replay(&o, rig_set_scattered, pack);

        if (!rig) {
            return;
        }
        g_assert_true(fixed_ram_load_guest_runs(rig->load));
        disk_hang(&rig->disk);
        rig_start(rig);
        disk_wait_inside(&rig->disk, 2);
        rig_pause(rig);
        disk_hold(&rig->disk, false);
        while (qatomic_load_acquire(&rig->load->reads)) {
            g_thread_yield();
        }
        g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);
        rig_recover(rig, DISK_GOOD);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
        rig_free(rig);
    }
}

/* As many pages as one read brings. */
static void one_batch(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    rig_set_add(set, map, 0, 0, BATCH_PAGES);
}

/* The second read would bring nothing new. */
static void batch_twice(FixedRamWorkingSet *set, const FixedRamMap *map)
{
    one_batch(set, map);
    one_batch(set, map);
}

/* The set has been brought, then a read of the rest hangs. */
static void hang_after(RigSetFunc *set)
{
    RigOptions o = { .loaders = 1 };
    Rig *rig = rig_new_replay(&o, set, true);
    const FixedRamLoadStats *stats;

    if (!rig) {
        return;
    }
    stats = fixed_ram_load_stats(rig->load);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    qatomic_set(&rig->bandwidth, 1);
    rig_start(rig);
    while (qatomic_read(&stats->loader_bytes) < FIXED_RAM_BATCH_BYTES) {
        g_thread_yield();
    }
    disk_hang(&rig->disk);
    qatomic_set(&rig->bandwidth, 0);
    disk_wait_inside(&rig->disk, 1);
    rig_pause(rig);
    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_leave(rig);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}

static void test_hang_after(void)
{
    hang_after(one_batch);
    hang_after(batch_twice);
}

/* Paused and recovered at any moment, with reads that hang and that fail. */
static void test_race(const void *opaque)
{
    RigOptions o = { .loaders = 3, .good_reads = 2 };
    RigSetFunc *set = opaque ? rig_set_scattered : rig_set_everything;
    Rig *rig = rig_new_replay(&o, set, true);

    if (!rig) {
        return;
    }
    rig_race(rig, ROUNDS);
}

/* Freed at any moment. */
static void test_free(void)
{
    for (int i = 0; i < 40; i++) {
        RigOptions o = { .loaders = 1 + i % 4, .sums = i & 8 };
        RigSetFunc *set = i & 4 ? rig_set_everything : rig_set_scattered;
        Rig *rig = rig_new_replay(&o, set, i & 2);

        if (!rig) {
            return;
        }
        disk_hold(&rig->disk, i & 1);
        if (i % 5) {
            rig_start(rig);
            if (i & 1) {
                disk_wait_inside(&rig->disk, 1);
            }
        }
        disk_hold(&rig->disk, false);
        rig_free(rig);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/replay-error/damaged", test_damaged);
    g_test_add_func("/fixed-ram/replay-error/quit", test_quit);
    g_test_add_func("/fixed-ram/replay-error/wrong-bits", test_wrong_bits);
    g_test_add_func("/fixed-ram/replay-error/hang", test_hang);
    g_test_add_func("/fixed-ram/replay-error/hang-after", test_hang_after);
    g_test_add_func("/fixed-ram/replay-error/return", test_return);
    g_test_add_data_func("/fixed-ram/replay-error/race/small", "small",
                         test_race);
    g_test_add_data_func("/fixed-ram/replay-error/race/all", NULL, test_race);
    g_test_add_func("/fixed-ram/replay-error/free", test_free);
    return g_test_run();
}
