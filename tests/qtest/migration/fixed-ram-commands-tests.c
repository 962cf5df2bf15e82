/*
 * QTest testcases for fixed-ram: what else may happen during a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define LOADING "still being loaded"

/*
 * Saving, migrating, loading something else
 */

static void assert_migrate_refused(QTestState *qts, const char *mode)
{
    g_autofree char *uri = frt_file_uri("other");

    migrate_set_parameter_str(qts, "mode", mode);
    frt_assert_refused(qts, LOADING, "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", uri);
    migrate_set_parameter_str(qts, "mode", "normal");
}

/* The fixed layout excludes the transport that the command asks for. */
static void assert_cpr_transfer_refused(QTestState *qts)
{
    migrate_set_parameter_str(qts, "mode", "cpr-transfer");
    for (int i = 0; i < 2; i++) {
        g_autofree char *uri = i ? frt_file_uri("other")
                                 : g_strdup("unix:/nonexistent/socket");

        frt_assert_refused(qts, i ? "streamable" : "seekable",
                           "{ 'execute': 'migrate', "
                           "'arguments': { 'uri': %s } }", uri);
    }
    migrate_set_parameter_str(qts, "mode", "normal");
}

static void assert_vmstate_refused(QTestState *qts, const char *refusal)
{
    frt_hmp_says(qts, "savevm x", refusal);
    frt_snapshot_job(qts, "snapshot-save", refusal);
    frt_hmp_says(qts, "loadvm x", refusal);
    frt_assert_refused(qts, refusal, "{ 'execute': 'snapshot-load', "
                       "'arguments': { 'job-id': 'job1', 'tag': 'x', "
                       "'vmstate': 'disk0', 'devices': [ 'disk0' ] } }");
}

static void save_action(FixedRamTest *t, bool paused)
{
    g_autofree char *uri = frt_file_uri("other");

    assert_migrate_refused(t->to, "normal");
    assert_migrate_refused(t->to, "cpr-reboot");
    assert_cpr_transfer_refused(t->to);
    frt_assert_refused(t->to, "no paused migration",
                       "{ 'execute': 'migrate', 'arguments': "
                       "{ 'uri': %s, 'resume': true } }", uri);
    assert_vmstate_refused(t->to, LOADING);
    frt_assert_refused(t->to, LOADING,
                       "{ 'execute': 'xen-load-devices-state', "
                       "'arguments': { 'filename': '/dev/null' } }");
    frt_assert_refused(t->to, "already been started",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", t->uri);
}

static void test_save(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (frt_in_both_states(&args, save_action)) {
        frt_finish(&args);
    }
}

/*
 * The capabilities stay set after a load, and do not suit a disk image.  But
 * since 10.2 QEMU saves to an image in mapped-ram's layout, too.
 */
static void test_vmstate(unsigned load)
{
    bool seeks;
    g_autofree char *disk = frt_path("disk");
    g_autofree char *opts = g_strdup_printf(
        "-drive if=none,node-name=disk0,format=qcow2,file=%s", disk);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = load,
        .live = true,
        .run = true,
    };

    if (!frt_have_disk("disk", 1)) {
        return;
    }
    if (!frt_prepare(&args)) {
        unlink(disk);
        return;
    }
    frt_load(&args);
    wait_for_serial("dest_serial");
    seeks = !(load & FR_FIXED) && frt_base_is(args.to, 10, 2);
    if (!seeks) {
        assert_vmstate_refused(args.to, "is for files: clear it first");
    }
    migrate_set_capability(args.to, "postcopy-ram", false);
    if (!seeks) {
        migrate_set_capability(args.to, load & FR_FIXED ? "fixed-ram"
                                                        : "mapped-ram", false);
    }
    migrate_set_capability(args.to, "multifd", false);
    frt_snapshot_job(args.to, "snapshot-save", NULL);
    qtest_memset(args.to, PATTERN_START, 0x5a, MiB);
    frt_snapshot_job(args.to, "snapshot-load", NULL);
    migrate_set_capability(args.to, "mapped-ram", false);
    /* The capabilities are off, and query-migrate has no figures of a load. */
    args.load = 0;
    frt_check(&args);
    frt_end(&args);
}

static void test_vmstate_fixed(void)
{
    test_vmstate(FR_DEMAND | FR_MULTIFD);
}

static void test_vmstate_mapped(void)
{
    test_vmstate(FR_MAPPED | FR_POSTCOPY);
}

static void test_vmstate_eager(void)
{
    test_vmstate(FR_FIXED);
}

/*
 * Capabilities, parameters and the other commands of a migration
 */

static void set_capability(QTestState *qts, const char *name, bool state,
                           const char *refusal)
{
    if (!refusal) {
        migrate_set_capability(qts, name, state);
        return;
    }
    frt_assert_refused(
        qts, refusal, "{ 'execute': 'migrate-set-capabilities', 'arguments': "
        "{ 'capabilities': [ { 'capability': %s, 'state': %i } ] } }",
        name, state);
}

static void settings_action(FixedRamTest *t, bool paused)
{
    set_capability(t->to, "fixed-ram", false, "fixed-ram");
    set_capability(t->to, "mapped-ram", false, "mapped-ram");
    set_capability(t->to, "postcopy-ram", false, "postcopy-ram");
    set_capability(t->to, "multifd", true, "multifd");
    set_capability(t->to, "background-snapshot", true, "ackground-snapshot");
    set_capability(t->to, "x-ignore-shared", true, "x-ignore-shared");
    set_capability(t->to, "auto-converge", true, NULL);
    set_capability(t->to, "auto-converge", false, NULL);

    frt_assert_refused(t->to, "multifd-compression",
                       "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'multifd-compression': 'zlib' } }");
    frt_assert_refused(t->to, "fixed-ram-load-mode",
                       "{ 'execute': 'migrate-set-parameters', "
                       "'arguments': { 'fixed-ram-load-mode': 'eager' } }");
    migrate_set_parameter_str(t->to, "fixed-ram-load-mode", "auto");
    migrate_set_parameter_int(t->to, "fixed-ram-precopy-percent", 30);
    migrate_set_parameter_int(t->to, "multifd-channels", 7);
    migrate_set_parameter_int(t->to, "max-postcopy-bandwidth", 2);
    migrate_set_parameter_int(t->to, "downtime-limit", 100);
    migrate_set_parameter_bool(t->to, "direct-io", true);
    migrate_set_parameter_bool(t->to, "direct-io", false);

    migrate_cancel(t->to);
    qtest_qmp_assert_success(t->to, "{ 'execute': 'migrate-start-postcopy' }");
    qtest_qmp_assert_success(t->to, "{ 'execute': 'system_powerdown' }");
    if (!paused) {
        frt_assert_refused(t->to, "is not paused", "{ 'exec-oob': "
                           "'migrate-recover', 'id': 'recover', "
                           "'arguments': { 'uri': %s } }", t->uri);
    } else {
        frt_assert_refused(t->to, "paused already",
                           "{ 'execute': 'migrate-pause' }");
    }
}

static void test_settings(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_in_both_states(&args, settings_action)) {
        return;
    }
    frt_load_rest(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active postcopy-paused "
                    "postcopy-recover-setup postcopy-recover "
                    "postcopy-active completed");
    frt_check(&args);
    frt_end(&args);
}

/*
 * The guest is stopped, goes on, is reset, ends
 */

static void test_stop(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    frt_pause(&args);
    frt_start_waiting_cpu(&args);
    frt_assert_waits(&args, "{ 'execute': 'stop', 'id': 'waits' }");
    g_assert_false(frt_running(args.to));

    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    wait_for_serial("dest_serial");
    qtest_qmp_assert_success(args.to, "{ 'execute': 'stop' }");
    g_assert_false(frt_running(args.to));
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    args.run = true;
    frt_finish(&args);
}

/* The guest says 'A' when it starts. */
static void wait_for_boot(void)
{
    g_autofree char *path = frt_path("dest_serial");
    bool booted = false;

    while (!booted) {
        g_autofree char *text = NULL;

        g_assert(g_file_get_contents(path, &text, NULL, NULL));
        booted = strchr(text, 'A');
        g_usleep(1000);
    }
}

static void test_reset(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    frt_pause(&args);
    frt_start_waiting_cpu(&args);
    frt_assert_waits(&args, "{ 'execute': 'system_reset', "
                     "'id': 'waits' }");
    qtest_qmp_eventwait(args.to, "RESET");
    wait_for_boot();
    qtest_qmp_assert_success(args.to, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(args.to, "RESET");
    frt_load_rest(&args);
    args.run = true;
    frt_check(&args);
    /* The guest starts anew, and does not continue to count. */
    args.run = false;
    frt_end(&args);
}

/* PIIX4's PM1a control register, set up by the firmware: go to S5. */
static void guest_shutdown(QTestState *qts)
{
    qtest_outw(qts, 0x604, 0x2000);
}

static void test_shutdown(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    guest_shutdown(args.to);
    qtest_wait_qemu(args.to);

    frt_restart_target(&args, "defer", "");
    frt_begin_crawl(&args);
    frt_pause(&args);
    frt_start_waiting_cpu(&args);
    guest_shutdown(args.to);
    qtest_wait_qemu(args.to);
    frt_end(&args);
}

static void shutdown_action(FixedRamTest *t, bool paused)
{
    guest_shutdown(t->to);
    qtest_qmp_eventwait(t->to, "SHUTDOWN");
}

static void test_no_shutdown(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_target = "-no-shutdown",
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_in_both_states(&args, shutdown_action)) {
        return;
    }
    frt_load_rest(&args);
    frt_compare_ram_up_to(&args, 150 * MiB);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "save", test_save },
    { "vmstate-fixed", test_vmstate_fixed },
    { "vmstate-mapped", test_vmstate_mapped, true },
    { "vmstate-eager", test_vmstate_eager, true },
    { "settings", test_settings },
    { "stop", test_stop },
    { "reset", test_reset },
    { "shutdown", test_shutdown },
    { "no-shutdown", test_no_shutdown },
};

void frt_add_commands_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "commands", cases, ARRAY_SIZE(cases));
}
