/*
 * fixed-ram: unit tests of how many loaders read at once, on simulated disks
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "migration/fixed-ram/engine/depth.h"

#define EXTENT      ((uint64_t)2 * MiB)

/* A disk that is at full rate with @needs readers, and slower with fewer. */
typedef struct Sim {
    FixedRamDepth depth;
    int64_t now;
    unsigned needs;
    unsigned most;              /* readers there have been */
} Sim;

static void start(Sim *s, unsigned needs)
{
    *s = (Sim) { .now = 12345, .needs = needs };
    fixed_ram_depth_begin(&s->depth, s->now);
}

/* Loaders read @bytes.  With full rate an extent takes a millisecond. */
static void read_bytes(Sim *s, uint64_t bytes)
{
    for (uint64_t done = 0; done < bytes; done += EXTENT) {
        unsigned busy = MIN(s->depth.readers, s->needs);

        s->now += 1000 * 1000 * s->needs / busy;
        fixed_ram_depth_read(&s->depth, s->now, EXTENT);
        s->most = MAX(s->most, s->depth.readers);
    }
}

/* How many readers there are once the first trials have ended. */
static void test_disks(void)
{
    static const struct { unsigned needs, readers; } disks[] = {
        { 1, 1 }, { 2, 2 }, { 3, 4 }, { 4, 4 }, { 8, 8 }, { 1000, 64 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
        Sim s;

        start(&s, disks[i].needs);
        g_assert_cmpuint(s.depth.readers, ==, 1);
        read_bytes(&s, 512 * MiB);
        g_assert_cmpuint(s.depth.readers, ==, disks[i].readers);
    }
}

/* A little more for twice the readers is not worth what faults wait for it. */
static void test_little_gain(void)
{
    Sim s;

    start(&s, 1);
    for (int i = 0; i < 1024; i++) {
        s.now += 1000 * 1000 / (19 + s.depth.readers) * 20;
        fixed_ram_depth_read(&s.depth, s.now, EXTENT);
        g_assert_cmpuint(s.depth.readers, <=, 2);
    }
    g_assert_cmpuint(s.depth.readers, ==, 1);
}

/* Where one reader is enough there are seldom two, and never more. */
static void test_trials_are_rare(void)
{
    uint64_t with_two = 0;
    Sim s;

    start(&s, 1);
    for (int i = 0; i < 8 * 1024; i++) {
        read_bytes(&s, EXTENT);
        with_two += s.depth.readers > 1 ? EXTENT : 0;
    }
    g_assert_cmpuint(s.most, ==, 2);
    g_assert_cmpuint(with_two, >, 0);
    g_assert_cmpuint(with_two, <, 16 * GiB / 16);
}

/* Other users of the disk make it need more readers, later. */
static void test_disk_changes(void)
{
    Sim s;

    start(&s, 1);
    read_bytes(&s, 512 * MiB);
    g_assert_cmpuint(s.depth.readers, ==, 1);
    s.needs = 4;
    read_bytes(&s, 3 * GiB);
    g_assert_cmpuint(s.depth.readers, ==, 4);
}

/* A pause between two bursts of reads is no slow disk, and nothing is lost. */
static void test_begin_again(void)
{
    Sim s;

    start(&s, 4);
    read_bytes(&s, 512 * MiB);
    g_assert_cmpuint(s.depth.readers, ==, 4);
    for (int i = 0; i < 100; i++) {
        s.now += 1000 * 1000 * 1000;
        fixed_ram_depth_begin(&s.depth, s.now);
        g_assert_cmpuint(s.depth.readers, >=, 4);
        read_bytes(&s, 64 * MiB);
    }
    read_bytes(&s, 64 * MiB);
    g_assert_cmpuint(s.depth.readers, >=, 4);
    g_assert_cmpuint(s.most, ==, 8);
}

/* A clock that stands still or goes back does no harm. */
static void test_clock(void)
{
    Sim s;

    start(&s, 1);
    for (int i = 0; i < 1024; i++) {
        fixed_ram_depth_read(&s.depth, s.now - i, EXTENT);
        g_assert_cmpuint(s.depth.readers, >=, 1);
        g_assert_cmpuint(s.depth.readers, <=, 64);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/depth/disks", test_disks);
    g_test_add_func("/fixed-ram/depth/little-gain", test_little_gain);
    g_test_add_func("/fixed-ram/depth/trials-are-rare", test_trials_are_rare);
    g_test_add_func("/fixed-ram/depth/disk-changes", test_disk_changes);
    g_test_add_func("/fixed-ram/depth/begin-again", test_begin_again);
    g_test_add_func("/fixed-ram/depth/clock", test_clock);
    return g_test_run();
}
