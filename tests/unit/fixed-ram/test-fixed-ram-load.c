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

/* --- everything goes well --- */

static void check_content(Rig *rig)
{
    const FixedRamLoadStats *stats = fixed_ram_load_stats(rig->load);

    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_COMPLETE);
    g_assert_null(fixed_ram_load_error(rig->load));
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, 0);
    rig_check_all(rig);
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes) +
                     qatomic_read(&stats->loader_bytes), ==,
                     rig->map->wanted);
}

static void check_complete(Rig *rig)
{
    check_content(rig);
    rig_check_reads(rig);
}

/* All threads have ended: each unit that came was told to whoever waited. */
static void check_waits(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);
        FixedRamRun run;

        for (uint64_t unit = 0; unit < block->units; unit++) {
            if (fixed_ram_block_next_data(block, unit * block->unit,
                                          (unit + 1) * block->unit, &run)) {
                g_assert_cmpuint(qatomic_read(&rig->ended[i][unit]), >=, 1);
            }
        }
    }
}

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
    check_complete(rig);
    stats = fixed_ram_load_stats(rig->load);
    served = qatomic_read(&stats->latency.count);
    g_assert_cmpuint(served, <=, qatomic_read(&stats->faults));
    if (!o->loaders) {
        g_assert_cmpuint(served, >, 0);
        g_assert_cmpuint(qatomic_read(&rig->begins), >=, served);
    }
    rig_stop(rig);
    check_waits(rig);
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
        check_complete(rig);
        g_assert_cmpuint(fixed_ram_load_stats(rig->load)->faults, ==, 0);
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
            check_complete(rig);
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
    /* One read each, until they were told. */
    g_assert_cmpuint(qatomic_read(&stats->loader_bytes), <=, 512 * KiB);
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes), >, 0);

    /* A new limit is not waited for: it holds from now on. */
    qatomic_set(&rig->bandwidth, 0);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_complete(rig);
    rig_free(rig);
}

/* Before the guest runs the limit is not meant. */
static void test_bandwidth_before(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new(&o);

    if (rig) {
        qatomic_set(&rig->bandwidth, 1);
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        check_complete(rig);
        rig_free(rig);
    }
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
        rig_check_reads(rig);
        rig_free(rig);
    }
}

/* --- errors --- */

/* Names the block, the file, what was wrong. */
static void check_error(Rig *rig, const char *block)
{
    Error *err = fixed_ram_load_error(rig->load);
    g_autofree char *quoted = g_strdup_printf("'%s'", block);

    g_assert_nonnull(err);
    g_assert_nonnull(strstr(error_get_pretty(err), quoted));
    g_assert_nonnull(strstr(error_get_pretty(err), "'snapshot.img'"));
    g_assert_nonnull(strstr(error_get_pretty(err), "Input/output error"));
    g_assert_nonnull(strstr(error_get_pretty(err), "offset 0x"));
    error_free(err);
}

/* Whoever waits when the load fails is let go. */
static void test_fail(void)
{
    RigOptions o = { .on_demand = true, .good_reads = RIG_BAD };
    Toucher t[TOUCHERS] = { };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    rig_hold(rig, true);
    rig_start(rig);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        t[i].may_fail = true;
        rig_touch(rig, &t[i], block, rig_data_page(block, 30 * i));
    }
    rig_wait_inside(rig, 2);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    rig_hold(rig, false);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    rig_wait(rig, FIXED_RAM_LOAD_FAILED);
    check_error(rig, "pc.ram");
    g_assert_false(fixed_ram_load_guest_runs(rig->load));
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_FAILED);
    rig_free(rig);
}

/* Touchers of all pages, loaders, and an error somewhere in the middle. */
static void test_fail_midway(void)
{
    for (int good = 1; good < 40; good += 6) {
        RigOptions o = { .on_demand = true, .loaders = 2, .good_reads = good };
        Toucher t[TOUCHERS] = { };
        Rig *rig = rig_new(&o);

        if (!rig) {
            return;
        }
        rig_start(rig);
        for (unsigned i = 0; i < TOUCHERS; i++) {
            t[i].may_fail = true;
            t[i].seed = i;
            rig_touch(rig, &t[i], NULL, 0);
        }
        for (unsigned i = 0; i < TOUCHERS; i++) {
            rig_join(&t[i]);
        }
        g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                        FIXED_RAM_LOAD_FAILED);
        rig_free(rig);
    }
}

static void test_fail_eager(void)
{
    RigOptions o = { .loaders = 3, .good_reads = 2 };
    Rig *rig = rig_new(&o);

    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_FAILED);
    check_error(rig, "pc.ram");
    g_assert_false(fixed_ram_load_guest_runs(rig->load));
    rig_free(rig);
}

static void recover(Rig *rig, int64_t good)
{
    fixed_ram_load_recover(rig->load, rig_source(rig, good));
}

/* After the guest has started an error lets it wait. */
static void test_stall(void)
{
    RigOptions o = { .on_demand = true, .good_reads = RIG_BAD };
    Rig *rig = rig_new(&o);
    Toucher t = { }, u = { };
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 2);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_touch(rig, &t, block, rig_data_page(block, 3));
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    check_error(rig, "vga.vram");
    rig_touch(rig, &u, rig_block(rig, 0), rig_data_page(rig_block(rig, 0), 9));
    while (qatomic_read(&rig->begins) < 2) {
        g_thread_yield();
    }
    g_assert_false(qatomic_read(&t.done));
    g_assert_false(qatomic_read(&u.done));
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);

    recover(rig, RIG_GOOD);
    rig_join(&t);
    rig_join(&u);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    g_assert_null(fixed_ram_load_error(rig->load));
    rig_check_all(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_complete(rig);
    rig_free(rig);
}

/* One source after the other fails; in the end every page has come once. */
static void test_stall_again(const void *opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Toucher t[TOUCHERS] = { };
    unsigned recovered = 0;
    Rig *rig;

    o.on_demand = true;
    o.good_reads = 3;
    rig = rig_new(&o);
    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        t[i].seed = i;
        rig_touch(rig, &t[i], NULL, 0);
    }
    while (rig_wait_either(rig, FIXED_RAM_LOAD_STALLED,
                           FIXED_RAM_LOAD_COMPLETE) ==
           FIXED_RAM_LOAD_STALLED) {
        recovered++;
        recover(rig, recovered < 6 ? recovered : RIG_GOOD);
    }
    g_assert_cmpuint(recovered, >=, 6);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    check_content(rig);
    if (!o.unit) {
        /* Of a larger unit, a part may have been read in vain. */
        rig_check_reads(rig);
    }
    rig_free(rig);
}

/* Reads that began before the recovery fail after it: no second stall. */
static void test_late_error(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1, .good_reads = RIG_BAD };
    Rig *rig = rig_new(&o);
    Toucher t = { };
    FixedRamBlock *block;
    Error *err = NULL;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 2);
    rig_hold(rig, true);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_touch(rig, &t, block, rig_data_page(block, 0));
    rig_wait_inside(rig, 2);
    error_setg(&err, "paused");
    fixed_ram_load_stall(rig->load, err);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_STALLED);
    recover(rig, RIG_GOOD);
    rig_hold(rig, false);
    g_assert_cmpint(rig_wait_either(rig, FIXED_RAM_LOAD_STALLED,
                                    FIXED_RAM_LOAD_COMPLETE), ==,
                    FIXED_RAM_LOAD_COMPLETE);
    rig_join(&t);
    check_complete(rig);
    rig_free(rig);
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
    rig_hold(rig, true);
    rig_start(rig);
    rig_wait_inside(rig, 2);
    fixed_ram_load_quit(rig->load);
    rig_hold(rig, false);
    rig_check_page(rig, block, rig_data_page(block, 80));
    rig_check_all(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_complete(rig);
    rig_free(rig);
}

/* At any moment, with all threads at work or just starting. */
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
        rig_hold(rig, i & 1);
        if (i % 5) {
            rig_start(rig);
            if (i & 1) {
                rig_wait_inside(rig, 1);
            }
        }
        rig_hold(rig, false);
        rig_free(rig);
    }
}

/* Stalled, with the loaders asleep. */
static void test_free_stalled(void)
{
    RigOptions o = { .on_demand = true, .loaders = 3, .good_reads = 4 };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    rig_free(rig);
}

static void add_kinds(const char *name, GTestDataFunc func)
{
    static const struct {
        const char *name;
        RigOptions options;
    } kinds[] = {
        { "anon", { .loaders = 2 } },
        { "shared", { .loaders = 2, .shared = true } },
        { "file", { .loaders = 1, .file = true } },
        { "large-units", { .loaders = 1, .unit = 64 * KiB } },
        { "shared-large-units",
          { .loaders = 2, .shared = true, .unit = 64 * KiB } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_autofree char *path = g_strdup_printf("/fixed-ram/load/%s/%s", name,
                                                kinds[i].name);

        g_test_add_data_func(path, &kinds[i].options, func);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_kinds("eager", test_eager);
    add_kinds("on-demand", test_on_demand);
    g_test_add_func("/fixed-ram/load/empty", test_empty);
    g_test_add_func("/fixed-ram/load/notify-below", test_notify_below);
    g_test_add_func("/fixed-ram/load/bandwidth", test_bandwidth);
    g_test_add_func("/fixed-ram/load/bandwidth-before", test_bandwidth_before);
    g_test_add_data_func("/fixed-ram/load/discard/anon", NULL, test_discard);
    g_test_add_data_func("/fixed-ram/load/discard/shared", "shared",
                         test_discard);
    g_test_add_func("/fixed-ram/load/fail/first", test_fail);
    g_test_add_func("/fixed-ram/load/fail/midway", test_fail_midway);
    g_test_add_func("/fixed-ram/load/fail/eager", test_fail_eager);
    g_test_add_func("/fixed-ram/load/stall/once", test_stall);
    add_kinds("stall/again", test_stall_again);
    g_test_add_func("/fixed-ram/load/stall/late-error", test_late_error);
    g_test_add_func("/fixed-ram/load/end/quit", test_quit);
    g_test_add_func("/fixed-ram/load/end/free", test_free);
    g_test_add_func("/fixed-ram/load/end/free-stalled", test_free_stalled);
    return g_test_run();
}
