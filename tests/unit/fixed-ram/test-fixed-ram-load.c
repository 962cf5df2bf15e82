/*
 * fixed-ram: unit tests of the engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "rig.h"

#define TOUCHERS 4

static void load_on_demand(const RigOptions *o, unsigned touchers)
{
    const FixedRamLoadStats *stats;
    Toucher t[TOUCHERS] = { };
    Rig *rig = rig_new(o);
    uint64_t served;

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    for (unsigned i = 0; i < touchers; i++) {
        t[i].seed = 100 + i;
        rig_touch(rig, &t[i], NULL, 0);
    }
    for (unsigned i = 0; i < touchers; i++) {
        rig_join(&t[i]);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_check_reads(rig, false);
    stats = fixed_ram_load_stats(rig->load);
    served = qatomic_read(&stats->latency.count);
    g_assert_cmpuint(served, <=, qatomic_read(&stats->faults));
    if (!o->loaders) {
        g_assert_cmpuint(served, >, 0);
        g_assert_cmpuint(qatomic_read(&rig->begins), >=, served);
    }
    rig_stop(rig);
    rig_check_waits(rig);
    rig_free(rig);
}

/* @opaque: the kind of memory and source, and the size of units */
static void test_on_demand(const void *opaque)
{
    static const unsigned loaders[] = { 0, 1, 3 };
    RigOptions o = *(const RigOptions *)opaque;

    o.on_demand = true;
    for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
        for (unsigned n = 1; n <= TOUCHERS; n++) {
            o.loaders = loaders[i];
            load_on_demand(&o, n);
        }
    }
}

/* No thread touches anything: no page is read twice, nor told twice. */
static void test_alone(const void *opaque)
{
    static const unsigned loaders[] = { 1, 3 };
    RigOptions o = *(const RigOptions *)opaque;

    o.on_demand = true;
    for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
        const FixedRamLoadStats *stats;
        Rig *rig;

        o.loaders = loaders[i];
        rig = rig_new(&o);
        if (!rig) {
            return;
        }
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        stats = fixed_ram_load_stats(rig->load);
        g_assert_cmpuint(qatomic_read(&stats->faults), ==, 0);
        g_assert_cmpuint(qatomic_read(&stats->loader_bytes), ==,
                         rig->map->wanted);
        rig_check_complete(rig);
        rig_check_reads(rig, true);
        rig_stop(rig);
        rig_check_waits(rig);
        rig_free(rig);
    }
}

static void test_eager(const void *opaque)
{
    static const unsigned loaders[] = { 1, 3 };
    RigOptions o = *(const RigOptions *)opaque;

    for (size_t i = 0; i < ARRAY_SIZE(loaders); i++) {
        Rig *rig;

        o.loaders = loaders[i];
        rig = rig_new(&o);
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
        rig_check_reads(rig, true);
        g_assert_cmpuint(fixed_ram_load_stats(rig->load)->faults, ==, 0);
        g_assert_cmpint(qatomic_read(&rig->disk.straight) > 0, ==,
                        rig_block(rig, 0)->huge);
        rig_free(rig);
    }
}

/* Nothing to read: complete from the start, each page zero. */
static void test_empty(void)
{
    for (int on_demand = 0; on_demand < 2; on_demand++) {
        RigOptions o = {
            .on_demand = on_demand, .loaders = 1, .empty = true,
        };
        Rig *rig = rig_new(&o);

        if (rig) {
            rig_start(rig);
            rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
            rig_check_complete(rig);
            rig_check_reads(rig, true);
            g_assert_cmpuint(qatomic_read(&rig->begins), ==, 0);
            rig_free(rig);
        }
    }
}

static void test_notify_below(void)
{
    Rig *rig = rig_new(&(RigOptions) { .on_demand = true });
    FixedRamBlock *block;
    unsigned before;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    rig_start(rig);
    fixed_ram_load_notify_below(rig->load, rig->map->wanted - 100 * RIG_PAGE);
    g_assert_cmpuint(rig_notified(rig), ==, 0);
    for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
        rig_check_page(rig, block, page);
    }
    rig_wait_notified(rig, 0);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    g_assert_cmpuint(fixed_ram_map_left(rig->map), <=,
                     rig->map->wanted - 100 * RIG_PAGE);

    /* So little is left already: at once. */
    before = rig_notified(rig);
    fixed_ram_load_notify_below(rig->load, rig->map->wanted);
    g_assert_cmpuint(rig_notified(rig), >, before);
    rig_free(rig);
}

/* Loaders are held back, faults are not. */
static void test_bandwidth(void)
{
    RigOptions o = { .on_demand = true, .loaders = 2 };
    const FixedRamLoadStats *stats;
    FixedRamBlock *block;
    Rig *rig = rig_new(&o);
    uint64_t pages;

    if (!rig) {
        return;
    }
    stats = fixed_ram_load_stats(rig->load);
    block = rig_block(rig, 2);
    pages = block->length / RIG_PAGE;
    qatomic_set(&rig->bandwidth, 1);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    for (uint64_t page = pages; page-- > 0; ) {
        rig_check_page(rig, block, page);
    }
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    /* One claim each, until they were told. */
    g_assert_cmpuint(qatomic_read(&stats->loader_bytes), <=,
                     2 * FIXED_RAM_EXTENT_BYTES);
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes), >, 0);

    /* A new limit is not waited for: it holds from now on. */
    qatomic_set(&rig->bandwidth, 0);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

static void discard(Rig *rig, uint8_t *addr, uint64_t length)
{
    int advice = rig->o.shared ? MADV_REMOVE : MADV_DONTNEED;

    g_assert_cmpint(madvise(addr, length, advice), ==, 0);
}

/*
 * What the guest has thrown away is zero, not what the file holds: also if it
 * does so at once, before the engine itself has seen the page arrive.
 */
static void test_discard(const void *opaque)
{
    RigOptions o = { .on_demand = true, .shared = opaque != NULL };

    for (int round = 0; round < 8; round++) {
        Rig *rig = rig_new(&o);

        if (!rig) {
            return;
        }
        rig_start(rig);
        for (unsigned i = 0; i < RIG_BLOCKS; i++) {
            FixedRamBlock *block = rig_block(rig, i);

            for (uint64_t unit = 0; unit < block->units; unit++) {
                uint8_t *mem = block->host + unit * block->unit;

                rig_check_page(rig, block, unit * block->unit / RIG_PAGE);
                discard(rig, mem, block->unit);
                g_assert_true(buffer_is_zero(mem, block->unit));
            }
        }
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_reads(rig, false);
        rig_free(rig);
    }
}

/* --- the end --- */

/* Loaders are gone, faults are served. */
static void test_quit(void)
{
    RigOptions o = { .on_demand = true, .loaders = 2 };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 2);
    disk_hold(&rig->disk, true);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);       /* the other one waits its turn */
    fixed_ram_load_quit(rig->load);
    disk_hold(&rig->disk, false);
    rig_check_page(rig, block, rig_data_page(block, 80));
    rig_check_all(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* Is the page as it was before the load, or as after it? */
static void check_untorn(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    const uint8_t *mem = block->host + page * RIG_PAGE;
    const uint8_t *saved = rig->disk.bytes + block->pages_offset +
                           page * RIG_PAGE;
    uint8_t before = rig->o.on_demand ? 0 : RIG_SOIL;

    if (!test_bit(page, block->data)) {
        g_assert_true(buffer_is_zero(mem, RIG_PAGE));
    } else if (mem[0] == before && mem[1] == before) {
        for (unsigned i = 0; i < RIG_PAGE; i++) {
            g_assert_cmpuint(mem[i], ==, before);
        }
    } else {
        g_assert_cmpint(memcmp(mem, saved, RIG_PAGE), ==, 0);
    }
}

/*
 * The load is freed at any moment, with all threads at work or just starting.
 * Afterwards no thread touches the memory or the sources any more, and no page
 * faults.
 */
static void test_free(void)
{
    for (int i = 0; i < 60; i++) {
        RigOptions o = {
            .on_demand = i % 3, .loaders = 1 + i % 4, .shared = i & 8,
        };
        Rig *rig = rig_new(&o);

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
        fixed_ram_load_free(g_steal_pointer(&rig->load));
        g_assert_cmpuint(disk_closed(&rig->disk), ==, rig->disk.opened);
        for (unsigned b = 0; b < RIG_BLOCKS; b++) {
            FixedRamBlock *block = rig_block(rig, b);

            for (uint64_t p = 0; p < block->length / RIG_PAGE; p++) {
                check_untorn(rig, block, p);
            }
        }
        rig_free(rig);
    }
}

/* Without a buffer there is no engine, and the source is closed. */
static void test_no_memory(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);
    static const FixedRamLoadOps ops = { };
    FixedRamLoadConfig config = { .loaders = 1, .ops = &ops };
    Disk disk = { .map = map, .size = MiB };
    Error *err = NULL;

    /* A page so large that no address space has room for it. */
    block->length = block->page_size = block->unit = 1ULL << 60;
    block->data = bitmap_new(1);
    set_bit(0, block->data);
    fixed_ram_map_add(map, block);
    disk_fill(&disk);
    for (int on_demand = 0; on_demand < 2; on_demand++) {
        config.on_demand = on_demand;
        g_assert_null(fixed_ram_load_new(map,
                                         disk_source(&disk, DISK_GOOD, false),
                                         &config, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), "memory"));
        error_free(err);
        err = NULL;
        g_assert_cmpuint(disk.closed, ==, disk.opened);
    }
    disk_free(&disk);
}

/* Loaders that are held bring nothing, and faults are served all the same. */
static void test_hold(void)
{
    static const RigOptions o = { .on_demand = true, .loaders = 2 };

    for (int touch = 0; touch < 2; touch++) {
        Rig *rig = rig_new(&o);
        Toucher t = { .seed = 100 };

        if (!rig) {
            return;
        }
        fixed_ram_load_hold(rig->load, true);
        g_assert_true(fixed_ram_load_guest_runs(rig->load));
        rig_start(rig);
        if (touch) {
            rig_touch(rig, &t, NULL, 0);
            rig_join(&t);
        } else {
            fixed_ram_load_hold(rig->load, false);
        }
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
        g_assert_cmpint(!fixed_ram_load_stats(rig->load)->loader_bytes, ==,
                        touch);
        rig_free(rig);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_add_kinds("load/eager", test_eager);
    rig_add_kinds("load/on-demand", test_on_demand);
    rig_add_kinds("load/alone", test_alone);
    g_test_add_func("/fixed-ram/load/empty", test_empty);
    g_test_add_func("/fixed-ram/load/notify-below", test_notify_below);
    g_test_add_func("/fixed-ram/load/bandwidth", test_bandwidth);
    g_test_add_data_func("/fixed-ram/load/discard/anon", NULL, test_discard);
    g_test_add_data_func("/fixed-ram/load/discard/shared", "shared",
                         test_discard);
    g_test_add_func("/fixed-ram/load/hold", test_hold);
    g_test_add_func("/fixed-ram/load/end/quit", test_quit);
    g_test_add_func("/fixed-ram/load/end/free", test_free);
    g_test_add_func("/fixed-ram/load/no-memory", test_no_memory);
    return g_test_run();
}
