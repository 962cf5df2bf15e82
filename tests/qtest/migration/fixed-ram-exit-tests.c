/*
 * QTest testcases for fixed-ram: QEMU ends in the middle of a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * The library faults.c holds reads in user space.  In
 * fixed-ram-exit-kernel-tests.c a file system holds them, and QEMU waits in the
 * kernel.
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-exit.h"
#include "migration/fixed-ram-faults.h"
#include "migration/migration-qmp.h"

/*
 * Before the guest runs
 */

static void test_preflight(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .enter = frt_enter_preflight,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void enter_share(FixedRamTest *t)
{
    frt_faults_set_pages(t, FIXED_RAM_FAULTS_HANG, 0);
    frt_load_begin(t);
    frt_faults_wait_hanging(0, 1);
    frt_wait_status(t->to, "active");
}

static void test_share(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.percent = 50,
        .enter = enter_share,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

static void test_eager(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_FIXED,
        .enter = enter_share,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

/* With an index pre-flight would read the devices' state. */
static void test_stream(void)
{
    FixedRamExitTest test = {
        .scenario.save = FR_MAPPED,
        .scenario.load = FR_DEMAND,
        .enter = frt_enter_stream,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

/*
 * One read has failed, and so has the load.  Another read hangs, and the main
 * thread waits for it.
 */
static void enter_failing(FixedRamTest *t)
{
    FixedRamFaultsRule rule = frt_faults_pages(t);

    rule.mode = FIXED_RAM_FAULTS_HANG;
    rule.left = 1;
    frt_faults_set(0, &rule);
    rule.mode = FIXED_RAM_FAULTS_ERROR;
    rule.error = EIO;
    rule.left = 0;
    frt_faults_set(1, &rule);
    frt_load_begin(t);
    frt_faults_wait_hanging(0, 1);
    /* The loader repeats a failed read page by page. */
    frt_faults_wait_injected(1, 2);
}

static void test_failing(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.start.opts_source = FRT_QUEUE,
        .scenario.start.opts_target = FRT_QUEUE,
        .enter = enter_failing,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void test_failing_eager(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_FIXED,
        .enter = enter_failing,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

/* The main thread waits, inside a device's load. */
static void enter_device(FixedRamTest *t)
{
    frt_load_device_hanging(t, true);
}

static void test_device(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.start.opts_source = FRT_QUEUE,
        .scenario.start.opts_target = FRT_QUEUE,
        .enter = enter_device,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

/*
 * While the guest runs
 */

static void enter_load(FixedRamTest *t)
{
    frt_load_begin(t);
    frt_wait_status(t->to, "postcopy-active");
}

static void test_load(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.live = true,
        .scenario.run = true,
        .scenario.crawl = true,
        .enter = enter_load,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

static void test_hanging_vcpu(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.live = true,
        .scenario.run = true,
        .enter = frt_enter_hanging,
        .ways = SIGNALS | QUIT,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void enter_hanging_main_loop(FixedRamTest *t)
{
    g_autofree char *path = frt_path("other");

    unlink(path);
    frt_load_hanging(t);
    frt_occupy_main_loop(t);
}

static void test_hanging_main_loop(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .enter = enter_hanging_main_loop,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

/*
 * While the load is paused
 */

static void test_paused(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .enter = frt_enter_paused,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

static void test_paused_vcpu(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.live = true,
        .scenario.run = true,
        .enter = frt_enter_paused,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

static void enter_paused_main_loop(FixedRamTest *t)
{
    g_autofree char *path = frt_path("other");

    unlink(path);
    frt_enter_paused(t);
    frt_occupy_main_loop(t);
}

static void test_paused_main_loop(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .enter = enter_paused_main_loop,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void test_paused_both(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.live = true,
        .scenario.run = true,
        .enter = enter_paused_main_loop,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

/* A recovery hangs when it opens the file, and the main thread for a page. */
static void enter_recovering_main_loop(FixedRamTest *t)
{
    g_autofree char *path = frt_path("other");

    unlink(path);
    frt_enter_recovering(t);
    frt_occupy_main_loop(t);
}

static void test_recovering_main_loop(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .enter = enter_recovering_main_loop,
        .ways = SIGNALS,
        .status = EXIT_FAILURE,
    };

    frt_exit_test(&test);
}

static void test_recovering(void)
{
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.live = true,
        .scenario.run = true,
        .enter = frt_enter_recovering,
        .ways = SIGNALS | QUIT,
    };

    frt_exit_test(&test);
}

/* If the main loop runs, it flushes what the guest has written to its disks. */

#define DISK_MIB        1

static uint8_t disk_content;    /* every byte of it */

static void write_disk(FixedRamTest *t)
{
    g_autofree char *text = NULL;

    disk_content++;
    text = qtest_hmp(t->to, "qemu-io disk \"write -P %d 0 %dM\"",
                     disk_content, DISK_MIB);
    g_assert_cmpstr(text, ==, "");
}

static void enter_hanging_written(FixedRamTest *t)
{
    frt_enter_hanging(t);
    write_disk(t);
}

static void enter_paused_written(FixedRamTest *t)
{
    frt_enter_paused(t);
    write_disk(t);
}

static void convert_disk(const char *from, const char *to)
{
    g_autofree char *command = g_strdup_printf("%s convert -O raw %s %s",
                                               g_getenv("QTEST_QEMU_IMG"),
                                               from, to);
    int status;

    g_assert_true(g_spawn_command_line_sync(command, NULL, NULL, &status,
                                            NULL));
    g_assert_cmpint(status, ==, 0);
}

static void assert_written(void)
{
    g_autofree char *disk = frt_path("disk");
    g_autofree char *raw = frt_path("copy");
    g_autofree char *content = NULL;
    size_t length;

    convert_disk(disk, raw);
    g_assert_true(g_file_get_contents(raw, &content, &length, NULL));
    g_assert_cmpint(length, ==, DISK_MIB * MiB);
    for (size_t i = 0; i < length; i++) {
        g_assert_cmphex((uint8_t)content[i], ==, disk_content);
    }
}

static void test_disk(void (*enter)(FixedRamTest *t), int status)
{
    g_autofree char *disk = frt_path("disk");
    g_autofree char *opts = g_strdup_printf(
        "-drive if=none,id=disk,file=%s,format=qcow2,cache=writeback", disk);
    FixedRamExitTest test = {
        .scenario.load = FR_DEMAND,
        .scenario.start.opts_target = opts,
        .scenario.live = true,
        .scenario.run = true,
        .enter = enter,
        .after = assert_written,
        .ways = SIGNALS | QUIT,
        .status = status,
    };

    if (!frt_have_disk("disk", DISK_MIB)) {
        return;
    }
    frt_exit_test(&test);
}

static void test_disk_hanging(void)
{
    test_disk(enter_hanging_written, EXIT_FAILURE);
}

static void test_disk_paused(void)
{
    test_disk(enter_paused_written, EXIT_SUCCESS);
}

static const FixedRamCase cases[] = {
    { "preflight", test_preflight },
    { "share", test_share },
    { "eager", test_eager, true },
    { "stream", test_stream },
    { "device", test_device },
    { "failing", test_failing, true },
    { "failing-eager", test_failing_eager, true },
    { "load", test_load, true },
    { "hanging/vcpu", test_hanging_vcpu },
    { "hanging/main-loop", test_hanging_main_loop },
    { "paused/idle", test_paused, true },
    { "paused/vcpu", test_paused_vcpu },
    { "paused/main-loop", test_paused_main_loop },
    { "paused/both", test_paused_both, true },
    { "paused/recovering", test_recovering, true },
    { "paused/recovering-main-loop", test_recovering_main_loop, true },
    { "disk/hanging", test_disk_hanging },
    { "disk/paused", test_disk_paused },
};

void frt_add_exit_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "exit", cases, ARRAY_SIZE(cases));
}
