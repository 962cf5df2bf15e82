/*
 * fixed-ram: unit tests of how hard loaders work, on a simulated clock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "migration/fixed-ram/engine/effort.h"

#define RATE        ((uint64_t)GiB)     /* bytes a second that loaders read */
#define US          ((int64_t)SCALE_US)
#define MS          ((int64_t)SCALE_MS)
#define SECOND      ((int64_t)NANOSECONDS_PER_SECOND)

typedef struct Sim {
    FixedRamMeter meter;
    int64_t now;
    uint64_t left;
} Sim;

static FixedRamEffort effort(Sim *s)
{
    return fixed_ram_meter_effort(&s->meter, s->now, s->left);
}

/* A loader reads @bytes in the time that @rate allows; none follows. */
static void read_at(Sim *s, uint64_t bytes, uint64_t rate)
{
    fixed_ram_meter_read(&s->meter, s->now);
    s->now += bytes * SECOND / rate;
    fixed_ram_meter_read_end(&s->meter, s->now, bytes);
}

static void start(Sim *s, uint64_t left)
{
    *s = (Sim) { .now = SECOND, .left = left };
    read_at(s, 16 * MiB, RATE);
}

/* A fault is served for @wait, and the guest then works for @work. */
static void fault(Sim *s, int64_t wait, int64_t work)
{
    fixed_ram_meter_fault(&s->meter, s->now);
    s->now += wait;
    fixed_ram_meter_fault_end(&s->meter, s->now);
    s->now += work;
}

/* Fault until the effort is @wanted, for @limit at most; returns how long. */
static int64_t fault_until(Sim *s, FixedRamEffort wanted, int64_t wait,
                           int64_t work, int64_t limit)
{
    int64_t begun = s->now;

    while (effort(s) != wanted && s->now - begun < limit) {
        fault(s, wait, work);
    }
    return s->now - begun;
}

/* Nothing is known of the price: stay polite, however long faults take. */
static void test_no_price(void)
{
    Sim s = { .now = SECOND, .left = GiB };

    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
    for (int i = 0; i < 1000; i++) {
        fault(&s, 10 * MS, 0);
        g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
    }
}

/* No thread faults: polite, until nothing is left. */
static void test_no_faults(void)
{
    Sim s;

    start(&s, GiB);
    while (s.left) {
        g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
        read_at(&s, MiB, RATE);
        s.left -= MiB;
    }
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
}

/* A guest that does nothing but fault: one effort after the other, in time. */
static void test_storm(void)
{
    int64_t price = 4 * SECOND, steady, full;
    Sim s;

    start(&s, 4 * GiB);
    steady = fault_until(&s, FIXED_RAM_EFFORT_STEADY, 200 * US, 0, price);
    full = steady + fault_until(&s, FIXED_RAM_EFFORT_FULL, 200 * US, 0, price);
    g_assert_cmpint(steady, >, price / 50);
    g_assert_cmpint(steady, <, price / 10);
    g_assert_cmpint(full, >, price / 10);
    /* This bound is the promise of effort.h. */
    g_assert_cmpint(full, <, price * 2 / 5);
}

/* The slower the disk, the longer loaders hold back: it is the share. */
static void test_price(void)
{
    int64_t full[2];

    for (int i = 0; i < 2; i++) {
        Sim s = { .now = SECOND, .left = 4 * GiB };

        read_at(&s, 16 * MiB, RATE >> i);
        full[i] = fault_until(&s, FIXED_RAM_EFFORT_FULL, 200 * US, 0,
                              100 * SECOND);
    }
    g_assert_cmpint(full[1], >, full[0] * 19 / 10);
    g_assert_cmpint(full[1], <, full[0] * 21 / 10);
}

/* All the rest costs next to nothing: a short storm is no reason to hurry. */
static void test_small(void)
{
    int64_t full;
    Sim s;

    start(&s, 16 * MiB);
    full = fault_until(&s, FIXED_RAM_EFFORT_FULL, 50 * US, 0, SECOND);
    g_assert_cmpint(full, >, 50 * MS);
    g_assert_cmpint(full, <, 100 * MS);
}

/* What was read long ago does not count: the disk may be faster now. */
static void test_recent_reads(void)
{
    int64_t before, after;
    Sim s;

    start(&s, 4 * GiB);
    before = fault_until(&s, FIXED_RAM_EFFORT_FULL, 200 * US, 0, SECOND);
    start(&s, 4 * GiB);
    for (int i = 0; i < 2048; i++) {
        read_at(&s, MiB, i < 1024 ? RATE : 4 * RATE);
    }
    after = fault_until(&s, FIXED_RAM_EFFORT_FULL, 200 * US, 0, SECOND);
    g_assert_cmpint(after, <, before / 3);
}

/* Now and then a fault: loaders stay polite for ever. */
static void test_seldom(void)
{
    Sim s;

    start(&s, 4 * GiB);
    for (int i = 0; i < 100000; i++) {
        fault(&s, 200 * US, 2 * MS);
        g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
    }
}

/* The guest goes quiet, and loaders become polite again, but not at once. */
static void test_quiet(void)
{
    Sim s;

    start(&s, 4 * GiB);
    fault_until(&s, FIXED_RAM_EFFORT_FULL, 200 * US, 0, 10 * SECOND);
    s.now += 10 * MS;
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_FULL);
    s.now += 2 * SECOND;
    g_assert_cmpint(effort(&s), <, FIXED_RAM_EFFORT_FULL);
    s.now += 10 * SECOND;
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);

    /* And it may begin again. */
    fault_until(&s, FIXED_RAM_EFFORT_FULL, 200 * US, 0, 10 * SECOND);
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_FULL);
}

/* Two threads wait at the same time: that time is lost once. */
static void test_together(void)
{
    Sim one, two;

    start(&one, 4 * GiB);
    two = one;
    for (int i = 0; i < 100; i++) {
        fault(&one, MS, 0);
        fixed_ram_meter_fault(&two.meter, two.now);
        fault(&two, MS, 0);
        fixed_ram_meter_fault_end(&two.meter, two.now);
    }
    effort(&one);
    effort(&two);
    g_assert_cmpint(two.meter.faults.ns, ==, one.meter.faults.ns);
}

/* Loaders that read side by side: their rate is what all of them bring. */
static void test_parallel_reads(void)
{
    Sim one = { .now = SECOND, .left = GiB }, four = one;

    read_at(&one, 4 * MiB, RATE);
    for (int i = 0; i < 4; i++) {
        fixed_ram_meter_read(&four.meter, four.now);
    }
    four.now += 4 * MiB * SECOND / RATE;
    for (int i = 0; i < 4; i++) {
        fixed_ram_meter_read_end(&four.meter, four.now, MiB);
    }
    g_assert_cmpint(four.meter.reads.ns, ==, one.meter.reads.ns);
    g_assert_cmpuint(four.meter.bytes, ==, one.meter.bytes);
}

/* Loaders do all they can while a user waits for all of RAM. */
static void test_forced(void)
{
    Sim s;

    start(&s, GiB);
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
    s.meter.forced = true;
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_FULL);
    s.meter.forced = false;
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
}

/* A clock that stands still or goes back does no harm. */
static void test_clock(void)
{
    Sim s;

    start(&s, GiB);
    fixed_ram_meter_fault(&s.meter, s.now);
    fixed_ram_meter_fault_end(&s.meter, s.now - SECOND);
    fixed_ram_meter_read(&s.meter, s.now);
    fixed_ram_meter_read_end(&s.meter, s.now - SECOND, MiB);
    g_assert_cmpint(s.meter.faults.ns, ==, 0);
    g_assert_cmpint(s.meter.reads.ns, >, 0);
    g_assert_cmpint(effort(&s), ==, FIXED_RAM_EFFORT_POLITE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/effort/no-price", test_no_price);
    g_test_add_func("/fixed-ram/effort/no-faults", test_no_faults);
    g_test_add_func("/fixed-ram/effort/storm", test_storm);
    g_test_add_func("/fixed-ram/effort/price", test_price);
    g_test_add_func("/fixed-ram/effort/small", test_small);
    g_test_add_func("/fixed-ram/effort/recent-reads", test_recent_reads);
    g_test_add_func("/fixed-ram/effort/seldom", test_seldom);
    g_test_add_func("/fixed-ram/effort/quiet", test_quiet);
    g_test_add_func("/fixed-ram/effort/together", test_together);
    g_test_add_func("/fixed-ram/effort/parallel-reads", test_parallel_reads);
    g_test_add_func("/fixed-ram/effort/forced", test_forced);
    g_test_add_func("/fixed-ram/effort/clock", test_clock);
    return g_test_run();
}
