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

/* Nothing has changed yet, so the same QEMU can try again. */
static void test_preflight(unsigned load)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = load,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_set_mode(args.to, load);
    for (uint64_t after = 0; after < 3; after++) {
        frt_faults_set(0, &(FixedRamFaultsRule) {
            .mode = FIXED_RAM_FAULTS_ERROR,
            .error = EIO,
            .after = after,
        });
        frt_assert_refused(args.to, FILE_TEST_FILENAME "|offset|"
                           "Input/output error",
                           "{ 'execute': 'migrate-incoming', "
                           "'arguments': { 'uri': %s } }", args.uri);
        g_assert_cmpstr(args.events->str, ==, "");
    }
    frt_faults_off(0);
    frt_load(&args);
    frt_check(&args);
    frt_faults_end(&args);
}

static void test_preflight_demand(void)
{
    test_preflight(FR_DEMAND);
}

static void test_preflight_eager(void)
{
    test_preflight(FR_FIXED);
}

/*
 * Begin a load that cannot be repeated.  @stays: QEMU goes on when it fails.
 */
static void load_and_fail(FixedRamTest *t, bool stays)
{
    frt_set_mode(t->to, t->load);
    if (t->percent) {
        migrate_set_parameter_int(t->to, "fixed-ram-precopy-percent",
                                  t->percent);
    }
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': %i } }", t->uri, !stays);
}

/* QEMU stays and reports the error, or it has ended with status 1. */
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
    g_assert_false(frt_running(t->to));
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

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_faults_set_pages(&args, FIXED_RAM_FAULTS_ERROR, EIO);
    load_and_fail(&args, stays);
    assert_failed(&args, stays, "Input/output error");
    frt_faults_end(&args);
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
 * Pre-flight reads the devices' state, too.  So the load waits for its first
 * pages before the rule for later reads of that state is set.
 */
static void load_and_fail_devices(FixedRamTest *t, bool stays, uint32_t mode,
                                  int error)
{
    frt_faults_set_pages(t, FIXED_RAM_FAULTS_HANG, 0);
    load_and_fail(t, stays);
    frt_faults_wait_hanging(0, 1);
    frt_faults_set_devices(t, mode, error);
}

/* The devices' state is read slowly, and meanwhile a page cannot be read. */
static void test_devices_page(bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .load = FR_DEMAND,
        .percent = 50,
    };
    uint64_t before;

    if (!frt_faults_begin(&args)) {
        return;
    }
    load_and_fail_devices(&args, stays, FIXED_RAM_FAULTS_HANG, 0);
    qtest_qmp_assert_success(args.to,
                             "{ 'execute': 'migrate-start-postcopy' }");
    frt_faults_wait_hanging(1, 1);
    before = frt_faults_injected(0);
    frt_faults_turn(0, FIXED_RAM_FAULTS_ERROR, EIO);
    /* The loader repeats a failed read page by page. */
    frt_faults_wait_injected(0, before + 2);
    frt_faults_off(1);
    assert_failed(&args, stays, "Input/output error");
    frt_faults_end(&args);
}

static void test_devices_page_stay(void)
{
    test_devices_page(true);
}

static void test_devices_page_exit(void)
{
    test_devices_page(false);
}

/* All pages can be read, the devices' state no longer. */
static void test_devices_state(bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .load = FR_DEMAND,
        .percent = 50,
    };
    const char *what;

    if (!frt_faults_begin(&args)) {
        return;
    }
    /* Newer QEMUs name the device and have the error's number. */
    what = frt_base_is(args.to, 10, 2) ? "stream error: -5" : strerror(EIO);
    load_and_fail_devices(&args, stays, FIXED_RAM_FAULTS_ERROR, EIO);
    frt_faults_off(0);
    assert_failed(&args, stays, what);
    frt_faults_end(&args);
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
 * The main thread waits for a page inside a device's load, and the read fails.
 */
static void test_device_waits(bool stays)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.opts_source = FRT_QUEUE,
        .start.opts_target = FRT_QUEUE,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load_device_hanging(&args, !stays);
    frt_faults_turn(0, FIXED_RAM_FAULTS_ERROR, EIO);
    assert_failed(&args, stays, "Input/output error");
    if (stays) {
        g_assert_cmpint(frt_ram_figure(args.to, "postcopy-requests"), >,
                        0);
    }
    frt_faults_end(&args);
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
    { "preflight", test_preflight_demand },
    { "preflight-eager", test_preflight_eager, true },
    { "share", test_share_demand },
    { "share-exit", test_share_demand_exit, true },
    { "eager", test_share_eager, true },
    { "eager-exit", test_share_eager_exit },
    { "devices-page", test_devices_page_stay },
    { "devices-page-exit", test_devices_page_exit, true },
    { "devices-state", test_devices_state_stay, true },
    { "devices-state-exit", test_devices_state_exit, true },
    { "device-waits", test_device_waits_stay },
    { "device-waits-exit", test_device_waits_exit, true },
};

void frt_add_read_error_early_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "read-error-early", cases, ARRAY_SIZE(cases));
}
