/*
 * fixed-ram: unit tests of the loaders' pace
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "migration/fixed-ram/engine/pace.h"

#define EXTENT  (2 * MiB)
/* So much is missing that faults cannot have cost a share of it. */
#define LEFT    (1024 * TiB)
/* Somewhere in the address space; nothing is mapped there. */
#define ADDR    0x40000000UL
/* Times so far away that how long a test takes makes no difference. */
#define AGES    (1000LL * NANOSECONDS_PER_SECOND)

/* As if the last fault had just been, for as long as the test runs. */
static void stay_busy(FixedRamPace *pace)
{
    qatomic_set(&pace->last_fault, get_clock() + AGES);
}

/* As if it had been long ago. */
static void become_quiet(FixedRamPace *pace)
{
    qatomic_set(&pace->last_fault, get_clock() - AGES);
}

static uint64_t begin(FixedRamPace *pace, FixedRamTurn *turn,
                      uint64_t want)
{
    return fixed_ram_pace_begin(pace, turn, ADDR, EXTENT, want);
}

/* --- another loader --- */

typedef struct Loader {
    QemuThread thread;
    FixedRamPace *pace;
    FixedRamTurn turn;
    bool reads;                 /* ask for an extent, do not only enter */
    uint64_t got;
    int thread_id;              /* atomic; 0 until it runs */
    bool through;               /* atomic */
} Loader;

static void *loader_thread(void *opaque)
{
    Loader *l = opaque;

    qatomic_set(&l->thread_id, qemu_get_thread_id());
    fixed_ram_pace_enter(l->pace, &l->turn);
    if (l->reads) {
        l->got = begin(l->pace, &l->turn, EXTENT);
        fixed_ram_pace_end(l->pace, &l->turn, LEFT);
    }
    qatomic_set(&l->through, true);
    fixed_ram_pace_leave(l->pace, &l->turn);
    return NULL;
}

static void loader_start(Loader *l, FixedRamPace *pace, bool reads)
{
    *l = (Loader) { .pace = pace, .reads = reads };
    qemu_thread_create(&l->thread, "loader", loader_thread, l,
                       QEMU_THREAD_JOINABLE);
}

/* In which state the kernel has a thread, as in proc(5). */
static char thread_state(int id)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", id);
    g_autofree char *stat = NULL;
    const char *after;

    if (!g_file_get_contents(path, &stat, NULL, NULL)) {
        return '?';
    }
    after = strrchr(stat, ')');
    return after && after[1] ? after[2] : '?';
}

/* The loader has come to where it must wait, and sleeps there. */
static void expect_waits(Loader *l)
{
    for (int asleep = 0; asleep < 10; ) {
        int id = qatomic_read(&l->thread_id);

        g_assert_false(qatomic_read(&l->through));
        asleep += id && thread_state(id) == 'S';
        g_thread_yield();
    }
    g_assert_false(qatomic_read(&l->through));
}

/* --- how active faults are --- */

/* No thread faults: no turns, and no limits. */
static void test_not_careful(void)
{
    FixedRamTurn a, b;
    FixedRamPace pace;

    fixed_ram_pace_init(&pace, false);
    fixed_ram_pace_enter(&pace, &a);
    fixed_ram_pace_enter(&pace, &b);            /* does not wait for @a */
    g_assert_false(a.held);
    g_assert_false(b.held);
    g_assert_cmpuint(begin(&pace, &a, EXTENT), ==, EXTENT);
    g_assert_cmpuint(begin(&pace, &b, 100 * EXTENT), ==, 100 * EXTENT);
    fixed_ram_pace_end(&pace, &a, LEFT);
    fixed_ram_pace_end(&pace, &b, LEFT);
    g_assert_cmpint(pace.read_end, ==, 0);      /* that is the turn's */
    fixed_ram_pace_leave(&pace, &a);
    fixed_ram_pace_leave(&pace, &b);
    fixed_ram_pace_destroy(&pace);
}

/*
 * Where faults are expected a load begins as after a fault: a loader that comes
 * now gets the turn, and the next one waits for it.
 */
static void test_careful(void)
{
    bool seen = false;

    /* The machine may be so busy that the fault is long ago by then. */
    for (int i = 0; i < 1000 && !seen; i++) {
        FixedRamPace pace;
        FixedRamTurn turn;
        Loader other;

        fixed_ram_pace_init(&pace, true);
        fixed_ram_pace_enter(&pace, &turn);
        seen = turn.held;
        if (seen) {
            stay_busy(&pace);
            loader_start(&other, &pace, true);
            expect_waits(&other);
            fixed_ram_pace_leave(&pace, &turn);
            qemu_thread_join(&other.thread);
            g_assert_cmpuint(other.got, <, EXTENT);
        }
        fixed_ram_pace_leave(&pace, &turn);
        fixed_ram_pace_destroy(&pace);
    }
    g_assert_true(seen);
}

static void test_fault(void)
{
    FixedRamPace pace;
    FixedRamTurn turn;
    int64_t before;

    fixed_ram_pace_init(&pace, false);
    fixed_ram_pace_fault(&pace);
    fixed_ram_pace_fault(&pace);
    fixed_ram_pace_enter(&pace, &turn);
    g_assert_true(turn.held);
    fixed_ram_pace_leave(&pace, &turn);

    /* Until the last one is served, and when it was is remembered. */
    before = get_clock();
    fixed_ram_pace_fault_end(&pace, LEFT);
    g_assert_cmpint(pace.last_fault, >=, before);
    become_quiet(&pace);
    fixed_ram_pace_enter(&pace, &turn);
    g_assert_true(turn.held);
    fixed_ram_pace_leave(&pace, &turn);
    before = get_clock();
    fixed_ram_pace_fault_end(&pace, LEFT);
    g_assert_cmpint(pace.last_fault, >=, before);
    become_quiet(&pace);
    fixed_ram_pace_enter(&pace, &turn);
    g_assert_false(turn.held);
    fixed_ram_pace_destroy(&pace);
}

/*
 * A thread that waits for a loader counts as a fault: where all loaders could
 * read, they take turns now.
 */
static void test_hurry_is_fault(void)
{
    bool seen = false;

    for (int i = 0; i < 1000 && !seen; i++) {
        FixedRamPace pace;
        FixedRamTurn before, after;

        fixed_ram_pace_init(&pace, false);
        fixed_ram_pace_enter(&pace, &before);
        g_assert_false(before.held);
        fixed_ram_pace_hurry(&pace, ADDR);
        fixed_ram_pace_enter(&pace, &after);
        seen = after.held;
        fixed_ram_pace_leave(&pace, &after);
        fixed_ram_pace_destroy(&pace);
    }
    g_assert_true(seen);
}

/* --- turns --- */

/* One at a time, and the next one when the first has left. */
static void test_turns(void)
{
    FixedRamPace pace;
    FixedRamTurn turn;
    Loader other;

    fixed_ram_pace_init(&pace, true);
    stay_busy(&pace);
    fixed_ram_pace_enter(&pace, &turn);
    g_assert_true(turn.held);
    loader_start(&other, &pace, false);
    expect_waits(&other);
    fixed_ram_pace_leave(&pace, &turn);
    g_assert_false(turn.held);
    qemu_thread_join(&other.thread);
    g_assert_true(other.through);
    fixed_ram_pace_enter(&pace, &turn);         /* it has left, too */
    g_assert_true(turn.held);
    fixed_ram_pace_leave(&pace, &turn);
    fixed_ram_pace_destroy(&pace);
}

/* A loader leaves twice; the second time another loader has the turn. */
static void test_leave_twice(void)
{
    FixedRamTurn a, b;
    FixedRamPace pace;
    Loader other;

    fixed_ram_pace_init(&pace, true);
    stay_busy(&pace);
    fixed_ram_pace_enter(&pace, &a);
    fixed_ram_pace_leave(&pace, &a);
    fixed_ram_pace_leave(&pace, &a);
    fixed_ram_pace_enter(&pace, &b);
    fixed_ram_pace_leave(&pace, &a);
    g_assert_true(b.held);
    loader_start(&other, &pace, false);
    expect_waits(&other);
    fixed_ram_pace_leave(&pace, &b);
    qemu_thread_join(&other.thread);
    fixed_ram_pace_destroy(&pace);
}

/* Faults ended while loaders waited for their turn: all may read. */
static void test_quiet_meanwhile(void)
{
    FixedRamTurn a, b;
    FixedRamPace pace;
    Loader others[3];

    fixed_ram_pace_init(&pace, true);
    stay_busy(&pace);
    fixed_ram_pace_enter(&pace, &a);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        loader_start(&others[i], &pace, true);
        expect_waits(&others[i]);
    }
    become_quiet(&pace);
    fixed_ram_pace_leave(&pace, &a);
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        qemu_thread_join(&others[i].thread);
        g_assert_cmpuint(others[i].got, ==, EXTENT);
    }
    fixed_ram_pace_enter(&pace, &a);
    fixed_ram_pace_enter(&pace, &b);
    g_assert_false(a.held);
    g_assert_false(b.held);
    fixed_ram_pace_destroy(&pace);
}

/* What a storm of faults leads to: see test-fixed-ram-effort. */
static void set_effort(FixedRamPace *pace, FixedRamEffort effort)
{
    pace->meter.effort = effort;
    qatomic_set(&pace->effort, effort);
}

/* At full effort as many loaders have a turn as the disk needs. */
static void test_full_effort(void)
{
    FixedRamTurn a, b;
    FixedRamPace pace;
    Loader other;

    fixed_ram_pace_init(&pace, true);
    set_effort(&pace, FIXED_RAM_EFFORT_FULL);
    become_quiet(&pace);
    fixed_ram_depth_begin(&pace.depth, get_clock());
    pace.depth.readers = 2;
    fixed_ram_pace_enter(&pace, &a);
    fixed_ram_pace_enter(&pace, &b);
    g_assert_true(a.held);
    g_assert_true(b.held);
    g_assert_cmpuint(begin(&pace, &a, EXTENT), ==, EXTENT);
    loader_start(&other, &pace, false);
    expect_waits(&other);
    fixed_ram_pace_leave(&pace, &b);
    qemu_thread_join(&other.thread);

    /* Loaders that came when there was one reader do not go on waiting. */
    pace.depth.readers = 1;
    loader_start(&other, &pace, false);
    expect_waits(&other);
    pace.depth.readers = 3;
    fixed_ram_pace_enter(&pace, &b);
    qemu_thread_join(&other.thread);
    fixed_ram_pace_leave(&pace, &a);
    fixed_ram_pace_leave(&pace, &b);
    fixed_ram_pace_destroy(&pace);
}

/* --- sizes and pauses --- */

static void test_sizes(void)
{
    FixedRamPace pace;
    FixedRamTurn turn;
    uint64_t most;

    fixed_ram_pace_init(&pace, true);
    stay_busy(&pace);
    fixed_ram_pace_enter(&pace, &turn);
    most = begin(&pace, &turn, EXTENT);
    fixed_ram_pace_end(&pace, &turn, LEFT);
    g_assert_cmpuint(most, <, EXTENT);
    g_assert_cmpuint(most, >, 0);
    g_assert_cmpuint(most % (64 * KiB), ==, 0);
    g_assert_cmpuint(begin(&pace, &turn, most), ==, most);
    g_assert_cmpuint(begin(&pace, &turn, most + 4096), ==, most);
    g_assert_cmpuint(begin(&pace, &turn, most - 4096), ==, most - 4096);
    g_assert_cmpuint(begin(&pace, &turn, 4096), ==, 4096);

    /* When faults end a loader may read more at once, never less. */
    become_quiet(&pace);
    g_assert_cmpuint(begin(&pace, &turn, EXTENT), >=, most);
    fixed_ram_pace_leave(&pace, &turn);
    fixed_ram_pace_destroy(&pace);
}

/* The more faults cost, the more a loader reads at once. */
static void test_effort_sizes(void)
{
    static const FixedRamEffort efforts[] = {
        FIXED_RAM_EFFORT_POLITE, FIXED_RAM_EFFORT_STEADY, FIXED_RAM_EFFORT_FULL,
    };
    uint64_t before = 0;
    FixedRamPace pace;
    FixedRamTurn turn;

    fixed_ram_pace_init(&pace, true);
    stay_busy(&pace);
    for (size_t i = 0; i < ARRAY_SIZE(efforts); i++) {
        uint64_t most;

        set_effort(&pace, efforts[i]);
        fixed_ram_depth_begin(&pace.depth, get_clock());
        fixed_ram_pace_enter(&pace, &turn);
        most = begin(&pace, &turn, EXTENT);
        g_assert_cmpuint(most, >, before);
        fixed_ram_pace_leave(&pace, &turn);
        before = most;
    }
    g_assert_cmpuint(before, ==, EXTENT);
    fixed_ram_pace_destroy(&pace);
}

/* After a fault, before it is quiet: larger, but not all. */
static void test_calm(void)
{
    bool seen = false;

    /* The machine may be too busy for us to be there in time. */
    for (int i = 0; i < 1000 && !seen; i++) {
        uint64_t busy, calm;
        FixedRamPace pace;
        FixedRamTurn turn;

        fixed_ram_pace_init(&pace, true);
        stay_busy(&pace);
        fixed_ram_pace_enter(&pace, &turn);
        busy = begin(&pace, &turn, EXTENT);
        qatomic_set(&pace.last_fault, get_clock() - 10 * SCALE_MS);
        calm = begin(&pace, &turn, EXTENT);
        fixed_ram_pace_leave(&pace, &turn);
        fixed_ram_pace_enter(&pace, &turn);
        seen = turn.held && calm > busy && calm < EXTENT;
        fixed_ram_pace_leave(&pace, &turn);
        fixed_ram_pace_destroy(&pace);
    }
    g_assert_true(seen);
}

/*
 * A read has ended in the future, so the pause after it lasts until a thread
 * waits for an address in the loader's claim.
 */
static void test_hurry(void)
{
    static const uintptr_t places[] = {
        ADDR, ADDR + 12345, ADDR + EXTENT - 1,
    };

    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        FixedRamPace pace;
        Loader loader;

        fixed_ram_pace_init(&pace, true);
        fixed_ram_pace_fault(&pace);            /* busy for all of the test */
        fixed_ram_pace_hurry(&pace, ADDR - 1);  /* not this loader's */
        pace.read_begin = get_clock();
        pace.read_end = pace.read_begin + AGES;
        loader_start(&loader, &pace, true);
        expect_waits(&loader);
        fixed_ram_pace_hurry(&pace, ADDR + EXTENT);
        expect_waits(&loader);
        fixed_ram_pace_hurry(&pace, places[i]);
        qemu_thread_join(&loader.thread);
        g_assert_cmpuint(loader.got, ==, EXTENT);
        fixed_ram_pace_destroy(&pace);
    }
}

/* No fault for a while: the pause is over, however long it was to be. */
static void test_pause_ends(void)
{
    FixedRamPace pace;
    Loader loader;

    fixed_ram_pace_init(&pace, true);
    stay_busy(&pace);
    pace.read_begin = get_clock();
    pace.read_end = pace.read_begin + AGES;
    loader_start(&loader, &pace, true);
    expect_waits(&loader);
    become_quiet(&pace);
    qemu_thread_join(&loader.thread);
    g_assert_cmpuint(loader.got, >, 0);
    fixed_ram_pace_destroy(&pace);
}

/* A read that took ages does not mean that the pause does. */
static void test_pause_is_limited(void)
{
    FixedRamPace pace;
    FixedRamTurn turn;

    for (int urgent = 0; urgent < 2; urgent++) {
        fixed_ram_pace_init(&pace, true);
        stay_busy(&pace);
        if (urgent) {
            fixed_ram_pace_fault(&pace);
        }
        pace.read_end = get_clock();
        pace.read_begin = pace.read_end - AGES;
        fixed_ram_pace_enter(&pace, &turn);
        g_assert_cmpuint(begin(&pace, &turn, EXTENT), >, 0);
        fixed_ram_pace_end(&pace, &turn, LEFT);
        g_assert_cmpint(pace.read_end, >=, pace.read_begin);
        fixed_ram_pace_leave(&pace, &turn);
        fixed_ram_pace_destroy(&pace);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/pace/not-careful", test_not_careful);
    g_test_add_func("/fixed-ram/pace/careful", test_careful);
    g_test_add_func("/fixed-ram/pace/fault", test_fault);
    g_test_add_func("/fixed-ram/pace/hurry-is-fault", test_hurry_is_fault);
    g_test_add_func("/fixed-ram/pace/turns", test_turns);
    g_test_add_func("/fixed-ram/pace/leave-twice", test_leave_twice);
    g_test_add_func("/fixed-ram/pace/quiet-meanwhile", test_quiet_meanwhile);
    g_test_add_func("/fixed-ram/pace/full-effort", test_full_effort);
    g_test_add_func("/fixed-ram/pace/sizes", test_sizes);
    g_test_add_func("/fixed-ram/pace/effort-sizes", test_effort_sizes);
    g_test_add_func("/fixed-ram/pace/calm", test_calm);
    g_test_add_func("/fixed-ram/pace/hurry", test_hurry);
    g_test_add_func("/fixed-ram/pace/pause-ends", test_pause_ends);
    g_test_add_func("/fixed-ram/pace/pause-is-limited",
                    test_pause_is_limited);
    return g_test_run();
}
