/*
 * QTest testcases for fixed-ram: pause and recover
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/* Commands that copy memory are refused while some of it is missing. */
static void assert_not_saved(QTestState *qts)
{
    g_autofree char *uri = frt_file_uri("other");

    frt_assert_refused(qts, "still being loaded",
                       "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", uri);
    frt_hmp_says(qts, "savevm x", "still being loaded");
    frt_snapshot_job(qts, "snapshot-save", "still being loaded");
}

/* COM1 keeps a byte that means nothing to it. */
#define SERIAL_SCRATCH  0x3ff

static void pause_load(FixedRamTest *t)
{
    QDict *info;

    frt_load_begin(t);
    frt_wait_status(t->to, "postcopy-active");
    assert_not_saved(t->to);
    migrate_pause(t->to);
    frt_wait_status(t->to, "postcopy-paused");
    info = migrate_query(t->to);
    g_assert_nonnull(strstr(qdict_get_str(info, "error-desc"), "paused"));
    qobject_unref(info);
    frt_hmp_says(t->to, "info migrate",
                 "fixed-ram paused: paused by the user");
    assert_not_saved(t->to);
}

static void test_recover(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    g_autofree char *uri = frt_file_uri("copy");
    QDict *info;

    if (!frt_prepare(&args)) {
        return;
    }
    pause_load(&args);
    frt_assert_recovery_fails(&args, "other", "other|No such file");
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    migrate_recover(args.to, uri);
    frt_load_rest(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "postcopy-recover-setup postcopy-paused "
                    "postcopy-recover-setup postcopy-recover "
                    "postcopy-active completed");
    info = migrate_query(args.to);
    g_assert_false(qdict_haskey(info, "error-desc"));
    qobject_unref(info);
    frt_check(&args);
    frt_end(&args);
}

/* A snapshot of another machine, of the same type as the guest. */
static void save_other(const char *options)
{
    const char *type = g_getenv("QTEST_QEMU_MACHINE_TYPE") ?: "q35";
    QTestState *other = qtest_initf("-machine %s %s", type, options);

    frt_save_again(other, 0, "other");
    qtest_quit(other);
}

/* A register of the serial port, and not a single page, differs. */
static void change_device(QTestState *qts)
{
    qtest_outb(qts, SERIAL_SCRATCH, 0x5a);
}

/* The loading side loads the snapshot, changes a little, and saves that. */
static void save_changed(FixedRamTest *t, void (*change)(QTestState *),
                         const char *name)
{
    frt_set_mode(t->to, FR_FIXED);
    frt_incoming(t, t->uri);
    frt_wait_status(t->to, "completed");
    change(t->to);
    frt_save_again(t->to, FR_FIXED, name);
    frt_restart_target(t, "defer", "");
}

/*
 * A recovery from another snapshot is refused.  None of these has an identity:
 * headers, bitmaps and the devices' states tell them apart.
 */
static void test_recover_other(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    save_changed(&args, change_device, "again");
    save_changed(&args, frt_change_memory, "copy");
    pause_load(&args);
    frt_assert_recovery_fails(&args, "again", "again|devices' states differ");
    frt_assert_recovery_fails(&args, "copy", "copy|devices' states differ");
    save_other("-nodefaults");
    frt_assert_recovery_fails(&args, "other",
                              "other|blocks, the one being loaded has");
    save_other("-m 32M");
    frt_assert_recovery_fails(&args, "other",
                              "other|found block 'pc.ram' of 0x");
    migrate_recover(args.to, args.uri);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/* The same guest in the same state, saved again, has another identity. */
static void test_recover_identity(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, FR_FIXED);
    frt_incoming(&args, args.uri);
    frt_wait_status(args.to, "completed");
    frt_save_again(args.to, FR_FIXED, "copy");

    frt_restart_target(&args, "defer", "");
    pause_load(&args);
    frt_assert_recovery_fails(&args, "copy", "copy|is not a copy");
    migrate_recover(args.to, args.uri);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/*
 * The file does not answer
 */

static void assert_recovering(FixedRamTest *t)
{
    frt_wait_status(t->to, "postcopy-recover-setup");
    g_assert_false(frt_running(t->to));
    frt_hmp_says(t->to, "info migrate", "postcopy-recover-setup");
    frt_hmp_says(t->to, "info migrate", "fixed-ram paused: ");
    qtest_qmp_assert_success(t->to, "{ 'exec-oob': 'query-yank', "
                             "'id': 'oob' }");
}

/* A load that is paused, and a recovery that hangs. */
static bool begin_hanging_recovery(FixedRamTest *t)
{
    if (!frt_faults_begin(t)) {
        return false;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_load_hanging(t);
    frt_load_failing(t, EIO);
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_HANG,
    });
    migrate_recover(t->to, t->uri);
    frt_faults_wait_hanging(0, 1);
    assert_recovering(t);
    return true;
}

/* A second recovery supersedes the first one, which has no effect later. */
static void test_hang_supersede(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *uri = frt_file_uri("copy");

    if (!begin_hanging_recovery(&args)) {
        return;
    }
    /* One that cannot begin leaves the first one alone. */
    frt_assert_refused(args.to, "needs a file",
                       "{ 'exec-oob': 'migrate-recover', 'id': 'tcp', "
                       "'arguments': { 'uri': 'tcp:127.0.0.1:0' } }");
    assert_recovering(&args);
    g_string_truncate(args.events, 0);
    migrate_recover(args.to, uri);
    frt_wait_status(args.to, "completed");
    g_assert_cmpstr(args.events->str, ==,
                    "postcopy-recover postcopy-active completed");
    frt_faults_off(0);
    frt_faults_wait_none_hanging(0);
    frt_check(&args);
    frt_faults_end(&args);
}

/* migrate-pause stops it; should the read return, that has no effect. */
static void test_hang_stop(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    if (!begin_hanging_recovery(&args)) {
        return;
    }
    g_string_truncate(args.events, 0);
    migrate_pause(args.to);
    frt_faults_off(0);
    frt_faults_wait_none_hanging(0);
    frt_wait_status(args.to, "postcopy-paused");
    g_assert_cmpstr(args.events->str, ==, "postcopy-paused");
    frt_assert_refused(args.to, "paused already",
                       "{ 'exec-oob': 'migrate-pause', 'id': 'again' }");
    migrate_recover(args.to, args.uri);
    frt_wait_status(args.to, "completed");
    frt_check(&args);
    frt_faults_end(&args);
}

/*
 * Without a URI the file that is open is read again.  QEMU cannot open it any
 * more: it was passed as a descriptor, and the set is gone.
 */
static void test_again(unsigned load)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = load,
        .fds = 2,
    };
    g_autofree char *text = NULL;

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load_hanging(&args);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'remove-fd', "
                             "'arguments': { 'fdset-id': 1 } }");
    frt_load_failing(&args, EIO);
    for (int i = 0; i < 2; i++) {
        qtest_qmp_assert_success(args.to, "{ 'exec-oob': 'migrate-recover', "
                                 "'id': 'again' }");
        frt_wait_status(args.to, "postcopy-paused");
    }
    frt_faults_off(0);
    text = qtest_hmp(args.to, "migrate_recover");
    g_assert_cmpstr(text, ==, "");
    frt_wait_status(args.to, "completed");
    frt_check(&args);
    frt_faults_end(&args);
}

static void test_again_buffered(void)
{
    test_again(FR_DEMAND);
}

static void test_again_direct(void)
{
    test_again(FR_DEMAND | FR_DIRECT);
}

/* The guest runs, waits for a page, and goes on after the pause. */
static void test_recover_run(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .run = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    frt_pause(&args);
    migrate_recover(args.to, args.uri);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/*
 * The user gives a page up.  The guest runs on, but cannot be saved or
 * migrated.
 */
static void give_up(unsigned save, int64_t bytes)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = save,
        .load = FR_DEMAND,
        .crawl = true,
    };
    const uint64_t lost = PATTERN_START + PATTERN_BYTES / 4 * 3;
    const char *command = "{ 'exec-oob': 'fixed-ram-give-up', 'id': 'g', "
                          "'arguments': { 'block': %s, 'offset': %" PRIu64
                          " } }";
    g_autofree char *uri = frt_file_uri("other");

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    frt_assert_refused(args.to, "no load is paused", command, "pc.ram",
                       lost);
    migrate_pause(args.to);
    frt_wait_status(args.to, "postcopy-paused");
    frt_assert_refused(args.to, "'no.ram'", command, "no.ram", lost);
    qtest_qmp_assert_success(args.to, command, "pc.ram", lost);
    frt_assert_refused(args.to, "has been loaded", command, "pc.ram",
                       lost + 1);
    g_assert_cmpint(frt_figure(args.to, "lost-bytes"), ==, bytes);
    migrate_recover(args.to, args.uri);
    frt_load_rest(&args);
    g_assert_cmpint(frt_figure(args.to, "lost-bytes"), ==, bytes);
    frt_assert_refused(args.to, "given up", "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", uri);
    frt_assert_refused(args.to, "given up",
                       "{ 'execute': 'snapshot-load', 'arguments': "
                       "{ 'job-id': 'job0', 'tag': 'x', 'vmstate': "
                       "'none', 'devices': [] } }");
    frt_end(&args);
}

static void test_give_up_page(void)
{
    give_up(FR_MAPPED, SNAPSHOT_PAGE_SIZE);
}

/* A whole cluster is given up.  The pattern has no zeros there. */
static void test_give_up_cluster(void)
{
    give_up(FR_FIXED, 16 * SNAPSHOT_PAGE_SIZE);
}

static const FixedRamCase cases[] = {
    { "copy", test_recover },
    { "other", test_recover_other, true },
    { "identity", test_recover_identity, true },
    { "hang/supersede", test_hang_supersede },
    { "hang/stop", test_hang_stop },
    { "again/buffered", test_again_buffered },
    { "again/direct", test_again_direct, true },
    { "run", test_recover_run, true },
    { "give-up/page", test_give_up_page },
    { "give-up/cluster", test_give_up_cluster, true },
};

void frt_add_recover_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "recover", cases, ARRAY_SIZE(cases));
}
