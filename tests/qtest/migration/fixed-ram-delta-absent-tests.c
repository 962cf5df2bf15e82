/*
 * QTest testcases for fixed-ram: deltas of guests that are still being loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-delta.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/*
 * What these tests write to lies in the first extent, which can be read.  A
 * read of any other page hangs.
 */
#define READABLE    (64 * KiB)

static void change(QTestState *qts)
{
    qtest_memset(qts, READABLE, 0x5a, 3 * 4 * KiB);
    qtest_memset(qts, READABLE + 512 * KiB, 0, 20 * KiB);
}

static bool begin(FixedRamTest *t)
{
    if (!frt_faults_begin(t)) {
        return false;
    }
    frt_load_hanging(t);
    frt_wait_job(t->to, "running");
    change(t->to);
    return true;
}

static void save_begin(FixedRamTest *t, const char *base)
{
    g_autofree char *uri = frt_file_uri("other");

    frt_set_base(t->to, base);
    migrate_set_capability(t->to, "fixed-ram", true);
    migrate_ensure_converge(t->to);
    migrate_qmp(t->to, NULL, uri, NULL, "{}");
}

static void assert_status(QTestState *qts, const char *status)
{
    QDict *info = migrate_query(qts);

    g_assert_cmpstr(qdict_get_str(info, "status"), ==, status);
    qobject_unref(info);
}

/*
 * Another guest has the scenario's snapshot, and @more changes it as the one
 * that saved the delta was changed.  Then the delta must hold the same.
 */
static void check(FixedRamTest *t, void (*more)(QTestState *qts))
{
    frt_load_target(t, FILE_TEST_FILENAME);
    change(t->to);
    if (more) {
        more(t->to);
    }
    frt_save_target(t, "", "copy");
    g_assert_cmpuint(frt_disk_bytes("other"), <,
                     frt_disk_bytes("copy") - 6 * MiB);
    frt_load_target(t, "other");
    frt_assert_loaded(t, "copy");
}

static void test_hanging(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_FIXED, .load_mode = "on-demand",
    };

    if (!begin(&args)) {
        return;
    }
    save_begin(&args, FILE_TEST_FILENAME);
    frt_wait_saved(args.to);
    frt_wait_job(args.to, "running");
    g_assert_cmpint(frt_figure(args.to, "remaining"), >, 0);
    frt_faults_off(0);
    frt_wait_job(args.to, NULL);
    check(&args, NULL);
    frt_faults_end(&args);
}

/* The first pages of the pattern: this one is zero, those beside it are not. */
static void write_between(QTestState *qts)
{
    qtest_writel(qts, PATTERN_START + 4 * KiB, 0x12345678);
}

/*
 * A part of a cluster is there, so a saver waits for the rest.  The load is
 * paused by an error, and the save goes on with it.
 */
static void test_parts(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "on-demand",
    };

    if (!begin(&args)) {
        return;
    }
    write_between(args.to);
    save_begin(&args, FILE_TEST_FILENAME);
    frt_wait_status(args.to, "active");
    frt_faults_turn(0, FIXED_RAM_FAULTS_ERROR, EIO);
    frt_wait_job(args.to, "paused");
    assert_status(args.to, "active");
    frt_faults_off(0);
    migrate_recover(args.to, args.uri);
    frt_wait_saved(args.to);
    frt_wait_job(args.to, NULL);
    check(&args, write_between);
    frt_faults_end(&args);
}

/* Nothing is known about pages that come from another file. */
static void test_other(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_FIXED, .load_mode = "on-demand",
    };

    if (!begin(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "disk");
    save_begin(&args, "disk");
    assert_status(args.to, "setup");
    frt_faults_off(0);
    frt_wait_saved(args.to);
    frt_wait_job(args.to, NULL);
    check(&args, NULL);
    frt_faults_end(&args);
}

static const FixedRamCase cases[] = {
    { "hanging", test_hanging },
    { "parts", test_parts },
    { "other", test_other },
};

void frt_add_delta_absent_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "delta-absent", cases, ARRAY_SIZE(cases));
}
