/*
 * QTest testcases for fixed-ram: QEMU ends while it waits in the kernel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * The snapshot lies in a FUSE file system that does not answer reads.  A thread
 * that reads it waits in the kernel, and only a signal that kills the process
 * wakes it: SIGTERM has a handler in QEMU, which does not run then.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram-exit.h"
#include "migration/fixed-ram-faults.h"
#include "migration/migration-qmp.h"

/* Whether the main thread is in state D, which is "disk sleep". */
static bool main_thread_waits(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", qtest_pid(qts));
    g_autofree char *stat = NULL;
    const char *end;

    g_assert_true(g_file_get_contents(path, &stat, NULL, NULL));
    end = strrchr(stat, ')');
    g_assert_nonnull(end);
    return g_str_has_prefix(end, ") D ");
}

static void wait_in_kernel(FixedRamTest *t)
{
    while (!main_thread_waits(t->to)) {
        g_usleep(1000);
    }
}

static void enter_preflight(FixedRamTest *t)
{
    frt_enter_preflight(t);
    wait_in_kernel(t);
}

static void test_preflight(unsigned load)
{
    FixedRamExitTest test = {
        .scenario.load = load,
        .enter = enter_preflight,
        .kernel = true,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void test_preflight_demand(void)
{
    test_preflight(FR_DEMAND);
}

static void test_preflight_eager(void)
{
    test_preflight(FR_FIXED);
}

static void enter_stream(FixedRamTest *t)
{
    frt_enter_stream(t);
    wait_in_kernel(t);
}

static void test_stream(unsigned load)
{
    FixedRamExitTest test = {
        .scenario.save = FR_MAPPED,
        .scenario.load = load,
        .enter = enter_stream,
        .kernel = true,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void test_stream_demand(void)
{
    test_stream(FR_DEMAND);
}

static void test_stream_eager(void)
{
    test_stream(FR_FIXED);
}

/* The thread of a recovery waits in the kernel, the main thread does not. */
static void test_recovering(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .enter = frt_enter_recovering,
        .kernel = true,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

/* A vCPU waits for a page, and a loader waits in the kernel. */
static void test_vcpu(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.live = true,
        .scenario.run = true,
        .enter = frt_enter_hanging,
        .kernel = true,
        .ways = SIGNALS | QUIT,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static const FixedRamCase cases[] = {
    { "preflight-demand", test_preflight_demand },
    { "preflight-eager", test_preflight_eager, true },
    { "stream-demand", test_stream_demand },
    { "stream-eager", test_stream_eager, true },
    { "recovering", test_recovering },
    { "vcpu", test_vcpu, true },
};

void frt_add_exit_kernel_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "exit-kernel", cases, ARRAY_SIZE(cases));
}
