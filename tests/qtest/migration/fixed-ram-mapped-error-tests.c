/*
 * QTest testcases for fixed-ram: a mapped snapshot whose pages cannot be read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * The snapshot lies in a FUSE file system.  The kernel answers an access to a
 * page that cannot be read there by SIGBUS.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define MAPPED \
    .start.oob = true, \
    .start.hide_stderr = true, \
    .save = FR_FIXED, \
    .load = FR_FIXED, \
    .load_mode = "mapped"

#define FAILED_AGAIN \
    "postcopy-recover-setup postcopy-recover postcopy-paused"

/* Until the command with this "id" has succeeded. */
static void wait_reply(FixedRamTest *t, const char *id)
{
    bool found = false;

    while (!found) {
        QDict *reply = qtest_qmp_receive(t->to);

        g_assert_true(qdict_haskey(reply, "return"));
        found = g_str_equal(qdict_get_str(reply, "id"), id);
        qobject_unref(reply);
    }
}

/* In-band commands are not answered while the main thread waits. */
static void recover(FixedRamTest *t, const char *uri)
{
    if (uri) {
        qtest_qmp_send(t->to, "{ 'exec-oob': 'migrate-recover', "
                       "'id': 'recover', 'arguments': { 'uri': %s } }", uri);
    } else {
        qtest_qmp_send(t->to, "{ 'exec-oob': 'migrate-recover', "
                       "'id': 'recover' }");
    }
}

/* The main thread waits for a page. */
static bool begin(FixedRamTest *t)
{
    if (!frt_faults_begin_kernel(t)) {
        return false;
    }
    frt_load(t);
    frt_faults_set_pages(t, FIXED_RAM_FAULTS_ERROR, EIO);
    frt_occupy_main_loop(t);
    frt_wait_told(t, "completed postcopy-paused");
    return true;
}

/* The main thread goes on. */
static void finish(FixedRamTest *t)
{
    QDict *info;

    wait_reply(t, "save");
    frt_wait_status(t->to, "completed");
    info = migrate_query(t->to);
    g_assert_false(qdict_haskey(info, "error-desc"));
    qobject_unref(info);
    frt_check_other(t);
    frt_faults_off(0);
    frt_compare_ram(t);
    frt_faults_end(t);
}

/* The file itself can be read again. */
static void test_again(void)
{
    FixedRamTest args = { MAPPED };

    if (!begin(&args)) {
        return;
    }
    recover(&args, NULL);
    wait_reply(&args, "recover");
    frt_wait_told(&args, FAILED_AGAIN);
    frt_faults_off(0);
    recover(&args, NULL);
    finish(&args);
}

/* A copy can be read; what is no copy is refused. */
static void test_copy(void)
{
    g_autofree char *uri = frt_file_uri(FILE_TEST_FILENAME);
    g_autofree char *missing = frt_file_uri("away");
    FixedRamTest args = { MAPPED };

    if (!begin(&args)) {
        return;
    }
    recover(&args, missing);
    wait_reply(&args, "recover");
    frt_wait_told(&args, "postcopy-recover-setup postcopy-paused");
    recover(&args, uri);
    finish(&args);
}

/* A vCPU waits, and the main thread does not. */
static void test_vcpu(void)
{
    FixedRamTest args = { MAPPED, .live = true, .run = true };

    if (!frt_faults_begin_kernel(&args)) {
        return;
    }
    frt_faults_set_pages(&args, FIXED_RAM_FAULTS_ERROR, EIO);
    frt_load_begin(&args);
    /* The load may have completed just before. */
    frt_wait_event(&args, "postcopy-paused");
    frt_wait_paused(&args, "pc.ram|Input/output error");
    frt_hmp_says(args.to, "info migrate", "fixed-ram paused: block 'pc.ram'");
    frt_faults_off(0);
    migrate_recover(args.to, args.uri);
    frt_wait_status(args.to, "completed");
    wait_for_serial("dest_serial");
    frt_faults_end(&args);
}

/* A thread of a save waits, and the save goes on after the recovery. */
static void test_saver(void)
{
    g_autofree char *path = frt_path("other"), *uri = frt_file_uri("other");
    FixedRamTest args = { MAPPED };
    g_autoptr(Snapshot) s = NULL, saved = NULL;

    if (!frt_faults_begin_kernel(&args)) {
        return;
    }
    frt_load(&args);
    g_string_truncate(args.events, 0);
    frt_faults_set_pages(&args, FIXED_RAM_FAULTS_ERROR, EIO);
    migrate_qmp(args.to, NULL, uri, NULL, "{}");
    frt_wait_event(&args, "postcopy-paused");
    frt_faults_off(0);
    migrate_recover(args.to, args.uri);
    frt_wait_status(args.to, "completed");
    s = frt_open_snapshot(&args);
    saved = snapshot_open(path, 0);
    snapshot_assert_same_ram(s, saved);
    frt_faults_end(&args);
}

/* SIGTERM ends QEMU although the main thread waits. */
static void test_exit(void)
{
    FixedRamTest args = { MAPPED };

    if (!begin(&args)) {
        return;
    }
    qtest_set_expected_status(args.to, EXIT_FAILURE);
    kill(qtest_pid(args.to), SIGTERM);
    qtest_wait_qemu(args.to);
    frt_faults_end(&args);
}

static const FixedRamCase cases[] = {
    { "again", test_again },
    { "copy", test_copy },
    { "vcpu", test_vcpu },
    { "saver", test_saver },
    { "exit", test_exit },
};

void frt_add_mapped_error_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "mapped-error", cases, ARRAY_SIZE(cases));
}
