/*
 * fixed-ram: unit tests of making extents whole that faults have broken up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/wait.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "migration/fixed-ram/engine/claim.h"
#include "migration/fixed-ram/engine/place.h"
#include "migration/fixed-ram/engine/read.h"
#include "migration/fixed-ram/engine/remake.h"
#include "migration/fixed-ram/engine/worker.h"
#include "rig.h"
#include "thp.h"

#define MORE        12
#define WRITERS     2
#define MARK        0x5a
#define RIG_CLUSTER 16      /* pages */

/* The pages of an extent that the tests touch, far from each other. */
static const unsigned touched[] = { 3, 200, 511 };

static uint8_t *page_at(Rig *rig, unsigned extent, unsigned page)
{
    return rig_block(rig, 0)->host +
           ((uint64_t)extent * RIG_HUGE + page) * RIG_PAGE;
}

/* A load whose only loader is the test itself.  NULL: the test is skipped. */
static Rig *start(FixedRamWorker **w)
{
    RigOptions o = { .on_demand = true, .more = MORE };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return NULL;
    }
    rig_start(rig);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    if (!rig->load->uffd.can_remake) {
        g_test_skip("this kernel cannot move pages to where pages were");
        rig_free(rig);
        return NULL;
    }
    *w = fixed_ram_worker_new(rig->load, false, FIXED_RAM_EXTENT_BYTES,
                              &error_abort);
    return rig;
}

/* A fault thread places the page first for which a thread waits. */
static void wait_until_placed(Rig *rig, unsigned extent)
{
    const FixedRamBlock *block = rig_block(rig, 0);

    for (unsigned i = 0; i < RIG_HUGE; i++) {
        uint64_t unit = (uint64_t)extent * RIG_HUGE + i;

        while (fixed_ram_map_was_claimed(block, unit) &&
               !fixed_ram_map_received(block, unit)) {
            g_thread_yield();
        }
    }
}

/* Faults bring some clusters of extent @extent, and the guest writes there. */
static void break_up(Rig *rig, unsigned extent)
{
    for (size_t i = 0; i < ARRAY_SIZE(touched); i++) {
        *page_at(rig, extent, touched[i]) ^= MARK;
    }
    wait_until_placed(rig, extent);
}

static void undo_writes(Rig *rig, unsigned extent)
{
    for (size_t i = 0; i < ARRAY_SIZE(touched); i++) {
        *page_at(rig, extent, touched[i]) ^= MARK;
    }
}

/* As a loader does it; returns whether the extent was remade. */
static bool load_extent(FixedRamWorker *w, unsigned extent)
{
    FixedRamRun run;
    bool remade = false;

    if (!fixed_ram_map_claim_in(w->load->map, extent, true, &w->claim)) {
        return false;
    }
    run = fixed_ram_claim_extent(&w->claim);
    if (fixed_ram_place_can_move(w)) {
        g_assert_true(fixed_ram_read_claim(w, false));
        fixed_ram_place_move(w);
    } else {
        bool ready = fixed_ram_remake_ready(w);

        g_assert_true(fixed_ram_read_claim(w, false));
        remade = ready && fixed_ram_remake(w);
        if (!remade) {
            fixed_ram_place_rest(w);
        }
    }
    fixed_ram_place_wake(w, w->claim.block, &run);
    return remade;
}

static void load_rest(FixedRamWorker *w)
{
    for (size_t i = 0; i < w->load->map->extents; i++) {
        load_extent(w, i);
    }
}

static void end(Rig *rig, FixedRamWorker *w)
{
    fixed_ram_worker_free(w);
    rig_stop(rig);
    rig_check_waits(rig);
    rig_free(rig);
}

/* What the guest has written stays, the rest comes, and it is a huge page. */
static void test_content(void)
{
    static const unsigned extents[] = { RIG_FULL, RIG_HOLED, RIG_EXTENTS };
    uint64_t fallbacks = thp_fallbacks();
    const FixedRamBlock *block;
    FixedRamWorker *w;
    Rig *rig = start(&w);

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    for (size_t i = 0; i < ARRAY_SIZE(extents); i++) {
        size_t huge;

        break_up(rig, extents[i]);
        g_assert_true(load_extent(w, extents[i]));
        huge = thp_bytes(block->host, block->length);
        g_assert_true(thp_fallbacks() != fallbacks ||
                      huge == (i + 1) * THP_SIZE);
        undo_writes(rig, extents[i]);
    }
    load_rest(w);
    rig_check_complete(rig);
    end(rig, w);
}

/* A zero page that the guest has written to, and one that it has discarded. */
static void test_zero_pages(void)
{
    FixedRamWorker *w;
    Rig *rig = start(&w);
    uint8_t *zero, *gone;

    if (!rig) {
        return;
    }
    zero = page_at(rig, RIG_HOLED, 8);      /* as the rig makes this extent */
    g_assert_cmpint(*zero, ==, 0);
    *zero = MARK;
    break_up(rig, RIG_HOLED);
    gone = page_at(rig, RIG_FULL, 0);
    g_assert_cmpint(*gone, !=, 0);
    wait_until_placed(rig, RIG_FULL);
    g_assert_cmpint(madvise(gone, RIG_PAGE, MADV_DONTNEED), ==, 0);

    g_assert_true(load_extent(w, RIG_HOLED));
    g_assert_true(load_extent(w, RIG_FULL));
    g_assert_cmpint(*zero, ==, MARK);
    g_assert_cmpint(*gone, ==, 0);
    rig_check_page(rig, rig_block(rig, 0), 1);
    load_rest(w);
    end(rig, w);
}

/* Most of the extent is there already: it is not taken out. */
static void test_mostly_there(void)
{
    FixedRamWorker *w;
    Rig *rig = start(&w);

    if (!rig) {
        return;
    }
    for (unsigned page = 0; page < RIG_HUGE / 2; page++) {
        g_assert_cmpint(*page_at(rig, RIG_FULL, page), !=, 0);
    }
    wait_until_placed(rig, RIG_FULL);
    g_assert_false(load_extent(w, RIG_FULL));
    load_rest(w);
    rig_check_complete(rig);
    end(rig, w);
}

/* Another worker has claimed some of the extent and will place it. */
static void test_claimed(void)
{
    FixedRamClaim other;
    FixedRamWorker *w;
    Rig *rig = start(&w);

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_map_claim_around(rig_block(rig, 0), 100, 16,
                                             &other));
    g_assert_false(load_extent(w, RIG_FULL));
    fixed_ram_map_return(&other);
    load_rest(w);
    rig_check_complete(rig);
    end(rig, w);
}

/*
 * The kernel does not move a page that is shared with a child process.  Those
 * of the first cluster are the parent's alone again, since it writes to them:
 * they are taken out, and go back when the next cluster's cannot be.
 */
static void test_busy(void)
{
    FixedRamWorker *w;
    Rig *rig = start(&w);
    pid_t child;

    if (!rig) {
        return;
    }
    break_up(rig, RIG_FULL);
    child = fork();
    if (!child) {
        while (true) {
            pause();
        }
    }
    g_assert_cmpint(child, >, 0);
    /* This page is the parent's alone again: it can be taken out. */
    for (unsigned page = 0; page < RIG_CLUSTER; page++) {
        *page_at(rig, RIG_FULL, page) += 1;
    }
    g_assert_false(load_extent(w, RIG_FULL));
    kill(child, SIGKILL);
    g_assert_cmpint(waitpid(child, NULL, 0), ==, child);
    for (unsigned page = 0; page < RIG_CLUSTER; page++) {
        *page_at(rig, RIG_FULL, page) -= 1;
    }
    undo_writes(rig, RIG_FULL);
    load_rest(w);
    rig_check_complete(rig);
    end(rig, w);
}

/* --- while the guest works there --- */

typedef struct Writer {
    QemuThread thread;
    Rig *rig;
    unsigned number;            /* of this writer */
    uint64_t turns;
    bool stop;                  /* atomic */
} Writer;

/* Counts in the pages that faults have brought; no count may get lost. */
static void *writer_thread(void *opaque)
{
    Writer *writer = opaque;

    while (!qatomic_read(&writer->stop)) {
        for (unsigned i = 0; i < MORE; i++) {
            for (size_t j = 0; j < ARRAY_SIZE(touched); j++) {
                uint64_t *count = (void *)page_at(
                    writer->rig, RIG_EXTENTS + i, touched[j]);

                count += 1 + writer->number;
                g_assert_cmpuint(qatomic_read(count), ==, writer->turns);
                qatomic_set(count, writer->turns + 1);
            }
        }
        qatomic_set(&writer->turns, writer->turns + 1);
    }
    return NULL;
}

static void start_writer(Rig *rig, Writer *writer, unsigned number)
{
    *writer = (Writer) { .rig = rig, .number = number };
    for (unsigned i = 0; i < MORE; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(touched); j++) {
            uint64_t *count = (void *)page_at(rig, RIG_EXTENTS + i,
                                              touched[j]);

            count[1 + number] = 0;
        }
    }
    qemu_thread_create(&writer->thread, "writer", writer_thread, writer,
                       QEMU_THREAD_JOINABLE);
}

static void test_writers(void)
{
    Writer writers[WRITERS];
    FixedRamWorker *w;
    Rig *rig = start(&w);

    if (!rig) {
        return;
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        start_writer(rig, &writers[i], i);
    }
    for (unsigned i = 0; i < MORE; i++) {
        uint64_t turns = qatomic_read(&writers[0].turns);

        load_extent(w, RIG_EXTENTS + i);
        while (qatomic_read(&writers[0].turns) < turns + 2) {
            g_thread_yield();
        }
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        qatomic_set(&writers[i].stop, true);
        qemu_thread_join(&writers[i].thread);
        g_assert_cmpuint(writers[i].turns, >, 0);
    }
    load_rest(w);
    end(rig, w);
}

/* Loaders at full effort, and threads that touch every page meanwhile. */
static void test_storm(const void *opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Toucher t[4] = { };
    Rig *rig;

    o.on_demand = true;
    o.loaders = 3;
    o.more = MORE;
    rig = rig_new(&o);
    if (!rig) {
        return;
    }
    qatomic_set(&rig->load->pace.effort, FIXED_RAM_EFFORT_FULL);
    rig_start(rig);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        t[i].seed = i + 1;
        rig_touch(rig, &t[i], NULL, 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
        rig_join(&t[i]);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_stop(rig);
    rig_check_waits(rig);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/remake/content", test_content);
    g_test_add_func("/fixed-ram/remake/zero-pages", test_zero_pages);
    g_test_add_func("/fixed-ram/remake/mostly-there", test_mostly_there);
    g_test_add_func("/fixed-ram/remake/claimed", test_claimed);
    g_test_add_func("/fixed-ram/remake/busy", test_busy);
    g_test_add_func("/fixed-ram/remake/writers", test_writers);
    rig_add_kinds("remake/storm", test_storm);
    return g_test_run();
}
