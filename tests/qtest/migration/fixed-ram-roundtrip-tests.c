/*
 * QTest testcases for fixed-ram: what is loaded is what was saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram/engine/uffd.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/*
 * Plain, multifd, direct-io; eager and on demand
 */

static void test_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    frt_test(&args);
}

static void test_eager_multifd(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
        .load = FR_FIXED | FR_MULTIFD,
    };

    frt_test(&args);
}

static void test_eager_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
        .load = FR_FIXED | FR_DIRECT,
    };

    frt_test(&args);
}

static void test_eager_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_FIXED | FR_MULTIFD | FR_DIRECT,
    };

    frt_test(&args);
}

static void test_demand(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    frt_test(&args);
}

static void test_demand_multifd(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
        .load = FR_DEMAND | FR_MULTIFD,
    };

    frt_test(&args);
}

static void test_demand_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
        .load = FR_DEMAND | FR_DIRECT,
    };

    frt_test(&args);
}

static void test_demand_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
    };

    frt_test(&args);
}

/*
 * A share before the guest starts
 */

static void test_percent_50(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .percent = 50,
    };

    frt_test(&args);
}

static void test_percent_100(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .percent = 100,
    };

    frt_test(&args);
}

static void test_percent_50_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
        .percent = 50,
    };

    frt_test(&args);
}

/*
 * Where in which file
 */

static void test_eager_offset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .offset = FILE_TEST_OFFSET,
    };

    frt_test(&args);
}

static void test_demand_offset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .offset = FILE_TEST_OFFSET,
    };

    frt_test(&args);
}

static void test_demand_multifd_dio_offset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
        .offset = FILE_TEST_OFFSET,
    };

    frt_test(&args);
}

static void test_eager_fdset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .fds = 1,
    };

    frt_test(&args);
}

static void test_demand_fdset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .fds = 1,
        .offset = FILE_TEST_OFFSET,
    };

    frt_test(&args);
}

static void test_eager_multifd_fdset_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .fds = 2,
    };

    frt_test(&args);
}

static void test_demand_multifd_fdset_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
        .fds = 2,
    };

    frt_test(&args);
}

/*
 * The guest runs while it is saved; some of its memory becomes zero then
 */

static void test_eager_live(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .live = true,
        .wipe = true,
    };

    frt_test(&args);
}

static void test_demand_live(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .wipe = true,
    };

    frt_test(&args);
}

static void test_demand_live_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
        .live = true,
        .wipe = true,
    };

    frt_test(&args);
}

/*
 * The guest runs while it is loaded
 */

static void test_run(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
    };

    frt_test(&args);
}

static void test_run_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND | FR_MULTIFD | FR_DIRECT,
        .live = true,
        .run = true,
    };

    frt_test(&args);
}

static void test_run_eager(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .live = true,
        .run = true,
    };

    frt_test(&args);
}

/* Loaders crawl: what the guest uses must come by faults. */
static void test_run_crawl(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    wait_for_serial("dest_serial");
    frt_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(frt_figure(args.to, "faults"), >, 0);
    g_assert_cmpint(frt_figure(args.to, "fault-bytes"), >, 0);
    g_assert_cmpint(frt_ram_figure(args.to, "remaining"), >, 0);

    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/*
 * Load what mapped-ram has saved, and load our snapshots with mapped-ram.  If
 * QTEST_QEMU_STOCK names a QEMU without fixed-ram, that one is used.
 */

static void test_base_eager(void)
{
    FixedRamTest args = {
        .save = FR_MAPPED,
        .load = FR_FIXED,
        .stock_save = true,
    };

    frt_test(&args);
}

static void test_base_demand(void)
{
    FixedRamTest args = {
        .save = FR_MAPPED | FR_MULTIFD,
        .load = FR_DEMAND,
        .stock_save = true,
    };

    frt_test(&args);
}

/* Loads on demand take snapshots of a stock QEMU. */
static void test_base_mapped_demand(void)
{
    FixedRamTest args = {
        .save = FR_MAPPED,
        .load = FR_MAPPED | FR_POSTCOPY,
        .stock_save = true,
    };

    frt_test(&args);
}

static void test_to_base(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_MAPPED,
        .stock_load = true,
    };

    frt_test(&args);
}

static void test_to_base_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_MAPPED | FR_MULTIFD | FR_DIRECT,
        .stock_load = true,
    };

    frt_test(&args);
}

/* As on a kernel that cannot move pages. */
static void test_no_move(void)
{
    g_setenv(FIXED_RAM_NO_MOVE, "1", true);
    test_demand();
    g_unsetenv(FIXED_RAM_NO_MOVE);
}

static void test_run_no_move(void)
{
    g_setenv(FIXED_RAM_NO_MOVE, "1", true);
    test_run();
    g_unsetenv(FIXED_RAM_NO_MOVE);
}

static const FixedRamCase cases[] = {
    { "eager/plain", test_eager },
    { "eager/multifd", test_eager_multifd, true },
    { "eager/dio", test_eager_dio, true },
    { "eager/multifd-dio", test_eager_multifd_dio },
    { "eager/offset", test_eager_offset, true },
    { "eager/fdset", test_eager_fdset, true },
    { "eager/multifd-dio-fdset", test_eager_multifd_fdset_dio, true },
    { "eager/live", test_eager_live, true },
    { "eager/run", test_run_eager, true },
    { "eager/from-base", test_base_eager, true },

    { "demand/plain", test_demand },
    { "demand/multifd", test_demand_multifd, true },
    { "demand/dio", test_demand_dio, true },
    { "demand/multifd-dio", test_demand_multifd_dio },
    { "demand/percent-50", test_percent_50, true },
    { "demand/percent-100", test_percent_100, true },
    { "demand/percent-50-multifd-dio", test_percent_50_multifd_dio, true },
    { "demand/offset", test_demand_offset, true },
    { "demand/multifd-dio-offset", test_demand_multifd_dio_offset, true },
    { "demand/fdset", test_demand_fdset },
    { "demand/multifd-dio-fdset", test_demand_multifd_fdset_dio, true },
    { "demand/live", test_demand_live },
    { "demand/live-multifd-dio", test_demand_live_multifd_dio, true },
    { "demand/run", test_run, true },
    { "demand/run-multifd-dio", test_run_multifd_dio, true },
    { "demand/run-crawl", test_run_crawl },
    { "demand/no-move", test_no_move },
    { "demand/run-no-move", test_run_no_move, true },
    { "demand/from-base", test_base_demand, true },
    { "demand/mapped-ram", test_base_mapped_demand },

    { "to-base/plain", test_to_base },
    { "to-base/multifd-dio", test_to_base_multifd_dio, true },
};

void frt_add_roundtrip_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "roundtrip", cases, ARRAY_SIZE(cases));
}
