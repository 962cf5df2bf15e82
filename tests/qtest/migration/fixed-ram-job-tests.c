/*
 * QTest testcases for fixed-ram: loads that go on in the background
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
#include "migration/migration-util.h"

#define JOB             "fixed-ram-load"
/* Pages far from each other, so that each read of one is a fault. */
#define TOUCHES         64
#define TOUCH_STEP      (512 * KiB)

static void job_command(QTestState *qts, const char *command)
{
    qtest_qmp_assert_success(qts, "{ 'execute': %s, "
                             "'arguments': { 'id': '" JOB "' } }",
                             command);
}

static void job_refused(QTestState *qts, const char *command,
                        const char *what)
{
    frt_assert_refused(qts, what, "{ 'execute': %s, "
                       "'arguments': { 'id': '" JOB "' } }", command);
}

/* A load whose loaders crawl: the guest runs, or waits for cont. */
static bool begin_crawl(FixedRamTest *t)
{
    if (!frt_prepare(t)) {
        return false;
    }
    frt_load_begin(t);
    frt_wait_status(t->to, "completed");
    frt_wait_job(t->to, "running");
    return true;
}

static void touch_pages(QTestState *qts, uint64_t start)
{
    for (int i = 0; i < TOUCHES; i++) {
        qtest_readb(qts, start + i * TOUCH_STEP);
    }
}

/* What the job tells about its progress, and its error. */
static void check_progress(QTestState *qts)
{
    QDict *job = frt_load_job(qts);
    int64_t current = qdict_get_int(job, "current-progress");
    int64_t total = qdict_get_int(job, "total-progress");

    g_assert_cmpstr(qdict_get_str(job, "type"), ==, "fixed-ram-load");
    g_assert_cmpint(current, >=, 0);
    g_assert_cmpint(current, <, total);
    g_assert_false(qdict_haskey(job, "error"));
    g_assert_cmpint(frt_figure(qts, "remaining"), >, 0);
    qobject_unref(job);
}

/* The guest runs and is served, and for clients the migration is over. */
static void test_running(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
        .live = true,
        .run = true,
        .crawl = true,
    };

    if (!begin_crawl(&args)) {
        return;
    }
    check_progress(args.to);
    wait_for_serial("dest_serial");
    g_assert_true(frt_running(args.to));
    g_assert_cmpint(frt_figure(args.to, "faults"), >, 0);
    frt_load_rest(&args);
    g_assert_cmpstr(args.events->str, ==, "job-created setup active RESUME "
                    "completed job-running job-waiting job-pending "
                    "job-concluded job-null");
    frt_check(&args);
    frt_end(&args);
}

/* A pause holds loaders and nothing else. */
static void test_pause(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
        .crawl = true,
    };
    int64_t loaded, faults;

    if (!begin_crawl(&args)) {
        return;
    }
    job_command(args.to, "job-pause");
    frt_wait_job(args.to, "paused");
    job_refused(args.to, "job-pause", "already paused");
    migrate_set_parameter_int(args.to, "max-postcopy-bandwidth", 0);
    /* A claim that was being read when the pause began comes to its end. */
    touch_pages(args.to, 16 * MiB);
    loaded = frt_figure(args.to, "loader-bytes");
    faults = frt_figure(args.to, "faults");
    touch_pages(args.to, 56 * MiB);
    g_assert_cmpint(frt_figure(args.to, "faults"), >, faults);
    g_assert_cmpint(frt_figure(args.to, "loader-bytes"), ==, loaded);
    job_command(args.to, "job-resume");
    frt_wait_job(args.to, NULL);
    g_assert_nonnull(strstr(args.events->str, "job-running job-paused "
                            "job-running job-waiting"));
    frt_check(&args);
    frt_end(&args);
}

static void test_cancel(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
        .crawl = true,
    };

    if (!begin_crawl(&args)) {
        return;
    }
    job_refused(args.to, "job-cancel", "cannot be cancelled|RAM");
    job_refused(args.to, "job-complete", JOB);
    job_refused(args.to, "job-dismiss", JOB);
    job_command(args.to, "job-pause");
    frt_wait_job(args.to, "paused");
    job_refused(args.to, "job-cancel", "cannot be cancelled|RAM");
    job_command(args.to, "job-resume");
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/* QEMU ends, with a job that runs and with one that is paused. */
static void test_quit(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
        .crawl = true,
    };

    if (!begin_crawl(&args)) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (i) {
            frt_restart_target(&args, "defer", "-global "
                               "migration.fixed-ram-load-mode=on-demand");
            frt_load_begin(&args);
            frt_wait_job(args.to, "running");
            job_command(args.to, "job-pause");
        }
        qtest_qmp_assert_success(args.to, "{ 'execute': 'quit' }");
        qtest_wait_qemu(args.to);
    }
    frt_end(&args);
}

/* A client has a job of that name: nothing has changed, and it can be ended. */
static void test_name(void)
{
    g_autofree char *disk = frt_path("disk");
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    g_assert_true(g_file_set_contents(disk, "", 0, NULL));
    qtest_qmp_assert_success(
        args.to, "{ 'execute': 'blockdev-create', 'arguments': { 'job-id': "
        "'" JOB "', 'options': { 'driver': 'file', 'filename': %s, "
        "'size': 65536 } } }", disk);
    frt_wait_job(args.to, "concluded");
    frt_set_mode(args.to, args.load);
    frt_assert_refused(args.to, "already in use", "{ 'execute': "
                       "'migrate-incoming', 'arguments': { 'uri': %s } }",
                       args.uri);
    job_command(args.to, "job-dismiss");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* postcopy-ram keeps its sequence of states, whatever the mode says. */
static void test_postcopy_ram(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .load_mode = "on-demand",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active completed");
    frt_check(&args);
    frt_end(&args);
}

/*
 * Errors
 */

static void assert_job_error(QTestState *qts, const char *what)
{
    QDict *job;

    frt_wait_job(qts, "paused");
    job = frt_load_job(qts);
    frt_assert_says(qdict_get_str(job, "error"), what);
    qobject_unref(job);
}

static bool begin_failing(FixedRamTest *t)
{
    if (!frt_faults_begin(t)) {
        return false;
    }
    frt_load_hanging(t);
    frt_wait_job(t->to, "running");
    frt_load_failing(t, EIO);
    assert_job_error(t->to, strerror(EIO));
    return true;
}

/* For clients without out-of-band commands job-resume tries again. */
static void test_error_resume(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!begin_failing(&args)) {
        return;
    }
    g_string_truncate(args.events, 0);
    job_command(args.to, "job-resume");
    /* The file is the right one, and its pages cannot be read yet. */
    frt_wait_event(&args, "job-paused");
    assert_job_error(args.to, strerror(EIO));
    frt_faults_off(0);
    job_command(args.to, "job-resume");
    frt_wait_status(args.to, "completed");
    frt_wait_job(args.to, NULL);
    frt_check(&args);
    frt_faults_end(&args);
}

static void test_error_recover(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!begin_failing(&args)) {
        return;
    }
    frt_faults_off(0);
    migrate_recover(args.to, args.uri);
    frt_wait_status(args.to, "completed");
    frt_wait_job(args.to, NULL);
    g_assert_nonnull(strstr(args.events->str, "completed job-running "
                            "postcopy-paused job-paused "
                            "postcopy-recover-setup postcopy-recover "
                            "completed"));
    frt_check(&args);
    frt_faults_end(&args);
}

/* A pause of the client's and one by an error: each needs its own end. */
static void test_error_held(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!frt_faults_begin(&args)) {
        return;
    }
    frt_load_hanging(&args);
    job_command(args.to, "job-pause");
    frt_load_failing(&args, EIO);
    assert_job_error(args.to, strerror(EIO));
    frt_faults_off(0);
    migrate_recover(args.to, args.uri);
    frt_wait_status(args.to, "completed");
    frt_wait_job(args.to, "paused");
    job_command(args.to, "job-resume");
    frt_wait_job(args.to, NULL);
    frt_check(&args);
    frt_faults_end(&args);
}

static const FixedRamCase cases[] = {
    { "running", test_running },
    { "pause", test_pause },
    { "cancel", test_cancel },
    { "quit", test_quit },
    { "name", test_name },
    { "postcopy-ram", test_postcopy_ram },
    { "error/resume", test_error_resume },
    { "error/recover", test_error_recover },
    { "error/held", test_error_held },
};

void frt_add_job_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "job", cases, ARRAY_SIZE(cases));
}
