/*
 * fixed-ram: unit tests of the engine when reads hang
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/internal.h"
#include "rig.h"

#define FAULT_THREADS   2
#define ROUNDS          300

/* The threads that hang. */
typedef struct Hang {
    const char *name;
    unsigned loaders;
    bool turns;                 /* one of them, and the others wait for it */
    unsigned faults;
} Hang;

static const Hang hangs[] = {
    { "all", .loaders = 3, .faults = FAULT_THREADS },
    { "loaders", .loaders = 3 },
    { "turn", .loaders = 3, .turns = true },
    { "turn-and-faults", .loaders = 3, .turns = true,
      .faults = FAULT_THREADS },
    { "fault", .faults = 1 },
    { "faults", .faults = FAULT_THREADS },
};

static unsigned hanging(const Hang *h)
{
    return (h->turns ? 1 : h->loaders) + h->faults;
}

/* Do loaders take turns, for the whole of the test? */
static void set_turns(Rig *rig, bool turns)
{
    qatomic_set(&rig->load->pace.last_fault,
                turns ? get_clock() + 3600 * NANOSECONDS_PER_SECOND
                      : INT64_MIN / 2);
}

/* All sources that there are hang, and so do all threads of @h. */
static Rig *rig_new_hanging(const Hang *h, Toucher *t)
{
    RigOptions o = { .on_demand = true, .loaders = h->loaders };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;

    if (!rig) {
        return NULL;
    }
    block = rig_block(rig, 2);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    set_turns(rig, h->turns);
    disk_hang(&rig->disk);
    rig_start(rig);
    disk_wait_inside(&rig->disk, hanging(h) - h->faults);
    for (unsigned i = 0; i < h->faults; i++) {
        rig_touch(rig, &t[i], block, rig_data_page(block, 70 * i));
    }
    disk_wait_inside(&rig->disk, hanging(h));
    return rig;
}

/* The threads that waited have their pages, and all others are loaded. */
static void check_rest(Rig *rig, const Hang *h, Toucher *t)
{
    Toucher all = { };

    for (unsigned i = 0; i < h->faults; i++) {
        rig_join(&t[i]);
    }
    if (!h->loaders) {
        rig_touch(rig, &all, NULL, 0);
        rig_join(&all);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    g_assert_false(fixed_ram_load_may_be_stuck(rig->load));
    /* A fault thread whose read has just failed may not have said so yet. */
    while (qatomic_read(&rig->load->pace.urgent)) {
        g_thread_yield();
    }
}

/*
 * The load ends before the reads do.  When they return the load and its memory
 * are gone: a sanitizer sees a thread that touches them.
 */
static void leave(Rig *rig, unsigned hanging)
{
    WITH_QEMU_LOCK_GUARD(&rig->disk.lock) {
        g_assert_cmpuint(rig->disk.inside, ==, hanging);
    }
    rig_leave(rig);
    /* The threads that hang keep the source that they read. */
    g_assert_cmpuint(disk_closed(&rig->disk), <, rig->disk.opened);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}

static void test_hang(const void *opaque)
{
    const Hang *h = opaque;
    Toucher t[FAULT_THREADS] = { };
    Rig *rig = rig_new_hanging(h, t);

    if (!rig) {
        return;
    }
    rig_pause(rig);
    g_assert_true(fixed_ram_load_may_be_stuck(rig->load));
    rig_recover(rig, DISK_GOOD);
    check_rest(rig, h, t);
    leave(rig, hanging(h));
}

/* The reads return in time, and no thread replaces those that read. */
static void test_return(const void *opaque)
{
    const Hang *h = opaque;
    Toucher t[FAULT_THREADS] = { };
    Rig *rig = rig_new_hanging(h, t);
    g_autofree FixedRamWorker **workers = NULL;
    FixedRamLoad *load;

    if (!rig) {
        return;
    }
    load = rig->load;
    workers = g_memdup2(load->workers, load->nworkers * sizeof(*workers));
    rig_pause(rig);
    disk_hold(&rig->disk, false);
    while (qatomic_load_acquire(&load->reads)) {
        g_thread_yield();
    }
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);
    rig_recover(rig, DISK_GOOD);
    check_rest(rig, h, t);
    g_assert_cmpmem(load->workers, load->nworkers * sizeof(*workers),
                    workers, load->nworkers * sizeof(*workers));
    rig_free(rig);
}

/* The next file hangs, too, and the one after that does not. */
static void test_again(const void *opaque)
{
    const Hang *h = opaque;
    Toucher t[FAULT_THREADS] = { };
    Rig *rig = rig_new_hanging(h, t);
    FixedRamSource *source;

    if (!rig) {
        return;
    }
    for (unsigned i = 2; i < 5; i++) {
        rig_pause(rig);
        set_turns(rig, h->turns);
        source = rig_source(rig, DISK_GOOD);
        disk_hang(&rig->disk);
        fixed_ram_load_recover(rig->load, source, &error_abort);
        /* At least one of them comes upon what it was at before. */
        disk_wait_inside(&rig->disk, hanging(h) + i - 1);
    }
    rig_pause(rig);
    rig_recover(rig, DISK_GOOD);
    check_rest(rig, h, t);
    rig_leave(rig);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}

/*
 * There is no buffer for one of the new threads.  The load stays stalled, and
 * it can be tried again.
 */
static void test_no_memory(const void *opaque)
{
    const Hang *h = opaque;
    Toucher t[FAULT_THREADS] = { };
    Rig *rig = rig_new_hanging(h, t);
    FixedRamSource *source;
    FixedRamWorker *last;
    Error *err = NULL;
    size_t size;

    if (!rig) {
        return;
    }
    rig_pause(rig);
    last = rig->load->workers[rig->load->nworkers - 1];
    size = last->buf.size;
    last->buf.size = 1ULL << 60;
    source = rig_source(rig, DISK_GOOD);
    g_assert_false(fixed_ram_load_recover(rig->load, source, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "memory"));
    error_free(err);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_STALLED);
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);
    last->buf.size = size;
    fixed_ram_load_recover(rig->load, source, &error_abort);
    check_rest(rig, h, t);
    leave(rig, hanging(h));
}

/*
 * Again and again some hang and are left behind, while others return at that
 * moment.  Each page comes once.
 */
static void test_race(void)
{
    RigOptions o = { .on_demand = true, .loaders = 3, .good_reads = 2 };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    rig_race(rig, ROUNDS);
}

/* Each recovery closes the source before it, and not at the load's end. */
static void test_sources(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    for (unsigned i = 1; i <= 10; i++) {
        rig_pause(rig);
        rig_recover(rig, DISK_GOOD);
        disk_wait_n_closed(&rig->disk, i);
        g_assert_cmpuint(disk_closed(&rig->disk), ==, i);
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

static void add_tests(const Hang *h, const char *what, GTestDataFunc func)
{
    g_autofree char *name = g_strdup_printf("/fixed-ram/hang/%s/%s", what,
                                            h->name);

    g_test_add_data_func(name, h, func);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(hangs); i++) {
        add_tests(&hangs[i], "recover", test_hang);
        add_tests(&hangs[i], "return", test_return);
        add_tests(&hangs[i], "again", test_again);
    }
    add_tests(&hangs[0], "no-memory", test_no_memory);
    g_test_add_func("/fixed-ram/hang/race", test_race);
    g_test_add_func("/fixed-ram/hang/sources", test_sources);
    return g_test_run();
}
