/*
 * QTest testcases for fixed-ram: migrations that wait for RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib-unix.h>
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-compat.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

static void begin_migrate(QTestState *qts, const char *uri)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", uri);
}

/* The guest is saved to @name while its own RAM is still being loaded. */
static void save_to(FixedRamTest *t, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    migrate_set_capability(t->to, "mapped-ram", true);
    migrate_ensure_converge(t->to);
    begin_migrate(t->to, uri);
}

/* What was saved to @name must be what was loaded. */
static void check_saved(FixedRamTest *t, const char *name)
{
    g_autofree char *path = frt_path(name);
    g_autoptr(Snapshot) want = frt_open_snapshot(t);
    g_autoptr(Snapshot) have = snapshot_open(path, 0);

    snapshot_assert_same_ram(want, have);
}

/* Polls until the outgoing migration has ended so. */
static void wait_ended(QTestState *qts, const char *status)
{
    gint64 end = g_get_monotonic_time() + FRT_WAIT_SECONDS * G_USEC_PER_SEC;
    bool ended = false;

    while (!ended) {
        QDict *info = migrate_query(qts);

        ended = g_str_equal(qdict_get_str(info, "status"), status);
        qobject_unref(info);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/*
 * The loaders crawl, so without the migration the load would not end.  All
 * settings of the next save are made meanwhile.
 */
static void test_save(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED | FR_MULTIFD,
        .load_mode = "on-demand",
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_job(args.to, "running");
    migrate_set_capability(args.to, "fixed-ram", false);
    migrate_set_capability(args.to, "multifd", false);
    save_to(&args, "again");
    frt_wait_saved(args.to);
    g_assert_nonnull(strstr(args.events->str, "completed job-running setup "
                            "job-waiting job-pending job-concluded job-null "
                            "active"));
    check_saved(&args, "again");
    frt_end(&args);
}

/* With figures of both: the load's own, and the migration's. */
static bool begin_hanging(FixedRamTest *t)
{
    QDict *info;

    if (!frt_faults_begin(t)) {
        return false;
    }
    frt_load_hanging(t);
    frt_wait_job(t->to, "running");
    migrate_set_capability(t->to, "fixed-ram", false);
    save_to(t, "other");
    info = migrate_query(t->to);
    g_assert_cmpstr(qdict_get_str(info, "status"), ==, "setup");
    g_assert_false(qdict_haskey(info, "ram"));
    qobject_unref(info);
    g_assert_cmpint(frt_figure(t->to, "remaining"), >, 0);
    frt_hmp_says(t->to, "info migrate", "MiB still to be loaded");
    frt_assert_refused(t->to, "in progress", "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': 'file:/nonexistent' } }");
    return true;
}

static void test_cancel(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };
    g_autofree char *other = frt_path("other");

    if (!begin_hanging(&args)) {
        return;
    }
    migrate_cancel(args.to);
    wait_ended(args.to, "cancelled");
    save_to(&args, "other");
    migrate_cancel(args.to);
    wait_ended(args.to, "cancelled");
    frt_faults_off(0);
    frt_wait_job(args.to, NULL);
    g_assert_false(g_file_test(other, G_FILE_TEST_EXISTS));
    args.load = 0;
    frt_compare_ram(&args);
    frt_faults_end(&args);
}

/*
 * The load is paused by an error: the migration has failed with the reason, and
 * another one is refused with it.  Then the load goes on.
 */
static void test_error(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!begin_hanging(&args)) {
        return;
    }
    frt_faults_turn(0, FIXED_RAM_FAULTS_ERROR, EIO);
    wait_ended(args.to, "failed");
    frt_assert_reason(args.to, strerror(EIO));
    frt_wait_job(args.to, "paused");
    g_assert_nonnull(strstr(args.events->str, "setup postcopy-paused "
                            FRT_EVENTS_FAILED));
    frt_assert_refused(args.to, "paused|migrate-recover", "{ 'execute': "
                       "'migrate', 'arguments': { 'uri': 'file:/none' } }");
    frt_assert_refused(args.to, strerror(EIO), "{ 'execute': "
                       "'migrate', 'arguments': { 'uri': 'file:/none' } }");
    frt_faults_off(0);
    migrate_recover(args.to, args.uri);
    frt_wait_job(args.to, NULL);
    args.load = 0;
    frt_compare_ram(&args);
    frt_faults_end(&args);
}

/* A client's pause ends the wait, and nothing waits while it lasts. */
static void test_held(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!begin_hanging(&args)) {
        return;
    }
    qtest_qmp_assert_success(args.to, "{ 'execute': 'job-pause', "
                             "'arguments': { 'id': 'fixed-ram-load' } }");
    wait_ended(args.to, "failed");
    frt_assert_reason(args.to, "job|paused");
    frt_assert_refused(args.to, "paused|resume the job", "{ 'execute': "
                       "'migrate', 'arguments': { 'uri': 'file:/none' } }");
    qtest_qmp_assert_success(args.to, "{ 'execute': 'job-resume', "
                             "'arguments': { 'id': 'fixed-ram-load' } }");
    frt_faults_off(0);
    frt_wait_job(args.to, NULL);
    args.load = 0;
    frt_compare_ram(&args);
    frt_faults_end(&args);
}

/* The file is a plain stream: another guest is loaded from it and compared. */
static void check_stream(FixedRamTest *t, const char *name)
{
    g_autofree char *uri = frt_file_uri(name);

    frt_restart_target(t, "defer", "");
    frt_incoming(t, uri);
    frt_wait_status(t->to, "completed");
    t->load = 0;
    frt_compare_ram(t);
}

typedef struct Copy {
    int from;
    int to;
} Copy;

/* Until the other end of the pipe is closed. */
static void *copy_pipe(void *opaque)
{
    Copy *copy = opaque;
    char buf[65536];
    ssize_t n;

    while ((n = read(copy->from, buf, sizeof(buf))) > 0) {
        g_assert_cmpint(qemu_write_full(copy->to, buf, n), ==, n);
    }
    g_assert_cmpint(n, ==, 0);
    return NULL;
}

/*
 * A named descriptor is the client's only until migrate takes it.  It is that
 * of a pipe, because QEMU 11.1 takes no file.
 */
static void test_fd(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
        .crawl = true,
    };
    g_autofree char *path = frt_path("other");
    GThread *thread;
    int ends[2];
    Copy copy;

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_job(args.to, "running");
    migrate_set_capability(args.to, "fixed-ram", false);
    migrate_ensure_converge(args.to);
    frt_assert_refused(args.to, "save", "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': 'fd:save' } }");
    g_assert_true(g_unix_open_pipe(ends, FD_CLOEXEC, NULL));
    copy.from = ends[0];
    copy.to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    g_assert_cmpint(copy.to, >=, 0);
    thread = g_thread_new("copy", copy_pipe, &copy);
    qtest_qmp_fds_assert_success(args.to, &ends[1], 1, "{ 'execute': 'getfd', "
                                 "'arguments': { 'fdname': 'save' } }");
    close(ends[1]);
    begin_migrate(args.to, "fd:save");
    frt_assert_refused(args.to, "save", "{ 'execute': 'closefd', "
                       "'arguments': { 'fdname': 'save' } }");
    frt_wait_saved(args.to);
    g_thread_join(thread);
    close(copy.from);
    close(copy.to);
    check_stream(&args, "other");
    frt_end(&args);
}

/* What is saved cannot be opened: that shows when RAM is there. */
static void test_no_file(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_job(args.to, "running");
    begin_migrate(args.to, "file:/nonexistent/file");
    wait_ended(args.to, "failed");
    frt_assert_reason(args.to, "/nonexistent/file");
    frt_wait_job(args.to, NULL);
    frt_compare_ram(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "save", test_save },
    { "cancel", test_cancel },
    { "error", test_error },
    { "held", test_held },
    { "fd", test_fd },
    { "no-file", test_no_file },
};

void frt_add_wait_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "wait", cases, ARRAY_SIZE(cases));
}
