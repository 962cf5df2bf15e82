/*
 * QTest testcases for fixed-ram: the file cannot be read before the guest runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Nothing has changed then: the same QEMU may try again. */
static void test_preflight(unsigned load)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = load,
    };

    if (!fixed_ram_faults_begin(&args)) {
        return;
    }
    fixed_ram_set_mode(args.to, load);
    for (uint64_t after = 0; after < 3; after++) {
        fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
            .mode = FIXED_RAM_FAULTS_ERROR,
            .error = EIO,
            .after = after,
        });
        fixed_ram_assert_refused(args.to, FILE_TEST_FILENAME "|offset|"
                                 "Input/output error",
                                 "{ 'execute': 'migrate-incoming', "
                                 "'arguments': { 'uri': %s } }", args.uri);
        g_assert_cmpstr(args.events->str, ==, "");
    }
    fixed_ram_faults_off(0);
    fixed_ram_load(&args);
    fixed_ram_check(&args);
    fixed_ram_faults_end(&args);
}

static void test_preflight_demand(void)
{
    test_preflight(FR_DEMAND);
}

static void test_preflight_eager(void)
{
    test_preflight(FR_FIXED);
}

/* Begin a load that has no second chance; does QEMU stay? */
static void load_in_vain(FixedRamTest *t, bool stays)
{
    fixed_ram_set_mode(t->to, t->load);
    if (t->percent) {
        migrate_set_parameter_int(t->to, "fixed-ram-precopy-percent",
                                  t->percent);
    }
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': %i } }", t->uri, !stays);
}

/* It is there and says why it has failed; or it has ended, with status 1. */
static void assert_failed(FixedRamTest *t, bool stays, const char *what)
{
    QDict *info;

    if (!stays) {
        qtest_set_expected_status(t->to, EXIT_FAILURE);
        qtest_wait_qemu(t->to);
        return;
    }
    do {
        g_usleep(1000);
        g_free(migrate_query_status(t->to));
    } while (!strstr(t->events->str, "failed"));
    info = migrate_query(t->to);
    g_assert_cmpstr(qdict_get_str(info, "status"), ==, "failed");
    g_assert_nonnull(strstr(qdict_get_str(info, "error-desc"), what));
    qobject_unref(info);
    g_assert_null(strstr(t->events->str, "postcopy-active"));
    g_assert_false(fixed_ram_running(t->to));
}

/* The share that comes first, or all. */
static void test_share(unsigned load, bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = load,
        .percent = load & FR_POSTCOPY ? 50 : 0,
    };

    if (!fixed_ram_faults_begin(&args)) {
        return;
    }
    fixed_ram_faults_set_pages(&args, FIXED_RAM_FAULTS_ERROR, EIO);
    load_in_vain(&args, stays);
    assert_failed(&args, stays, "Input/output error");
    fixed_ram_faults_end(&args);
}

static void test_share_demand(void)
{
    test_share(FR_DEMAND, true);
}

static void test_share_demand_exit(void)
{
    test_share(FR_DEMAND, false);
}

static void test_share_eager(void)
{
    test_share(FR_FIXED, true);
}

static void test_share_eager_exit(void)
{
    test_share(FR_FIXED, false);
}

/*
 * The devices' state is read slowly, and meanwhile a page cannot be read.  With
 * an index pre-flight would have read the devices' state before.
 */
static void test_devices_page(bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .load = FR_DEMAND,
    };
    uint64_t before;

    if (!fixed_ram_faults_begin(&args)) {
        return;
    }
    fixed_ram_faults_set_devices(&args, FIXED_RAM_FAULTS_HANG, 0);
    fixed_ram_faults_set_pages(&args, FIXED_RAM_FAULTS_HANG, 0);
    load_in_vain(&args, stays);
    fixed_ram_faults_wait_hanging(0, 1);
    fixed_ram_faults_wait_hanging(1, 1);
    before = fixed_ram_faults_injected(0);
    fixed_ram_faults_turn(0, FIXED_RAM_FAULTS_ERROR, EIO);
    /* What is read in one go is tried again page by page. */
    fixed_ram_faults_wait_injected(0, before + 2);
    fixed_ram_faults_off(1);
    assert_failed(&args, stays, "Input/output error");
    fixed_ram_faults_end(&args);
}

static void test_devices_page_stay(void)
{
    test_devices_page(true);
}

static void test_devices_page_exit(void)
{
    test_devices_page(false);
}

/* All pages can be read, the devices' state cannot; without an index. */
static void test_devices_state(bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .load = FR_DEMAND,
    };

    if (!fixed_ram_faults_begin(&args)) {
        return;
    }
    fixed_ram_faults_set_devices(&args, FIXED_RAM_FAULTS_ERROR, EIO);
    load_in_vain(&args, stays);
    assert_failed(&args, stays, "Input/output error");
    fixed_ram_faults_end(&args);
}

static void test_devices_state_stay(void)
{
    test_devices_state(true);
}

static void test_devices_state_exit(void)
{
    test_devices_state(false);
}

/*
 * The main thread waits inside a device's load for a page of which it learns
 * that it does not come.
 */
static void test_device_waits(bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.opts_source = FIXED_RAM_QUEUE,
        .start.opts_target = FIXED_RAM_QUEUE,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    if (!fixed_ram_faults_begin(&args)) {
        return;
    }
    fixed_ram_load_device_hanging(&args, !stays);
    fixed_ram_faults_turn(0, FIXED_RAM_FAULTS_ERROR, EIO);
    assert_failed(&args, stays, "Input/output error");
    if (stays) {
        g_assert_cmpint(fixed_ram_ram_figure(args.to, "postcopy-requests"), >,
                        0);
    }
    fixed_ram_faults_end(&args);
}

static void test_device_waits_stay(void)
{
    test_device_waits(true);
}

static void test_device_waits_exit(void)
{
    test_device_waits(false);
}

static const FixedRamCase cases[] = {
    { "disk-early/preflight", test_preflight_demand },
    { "disk-early/preflight-eager", test_preflight_eager, true },
    { "disk-early/share", test_share_demand },
    { "disk-early/share-exit", test_share_demand_exit, true },
    { "disk-early/eager", test_share_eager, true },
    { "disk-early/eager-exit", test_share_eager_exit },
    { "disk-early/devices-page", test_devices_page_stay },
    { "disk-early/devices-page-exit", test_devices_page_exit, true },
    { "disk-early/devices-state", test_devices_state_stay, true },
    { "disk-early/devices-state-exit", test_devices_state_exit, true },
    { "disk-early/device-waits", test_device_waits_stay },
    { "disk-early/device-waits-exit", test_device_waits_exit, true },
};

void fixed_ram_add_disk_early_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}
