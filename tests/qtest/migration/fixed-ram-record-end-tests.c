/*
 * QTest testcases for fixed-ram: records that are paused or end early
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-pause.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/fixed-ram-working-set.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Longer than any test: the record ends for another reason. */
#define FOR_EVER        60000

/* The load is paused and recovered while it records. */
static void test_pause(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_DEMAND, .start.oob = true,
    };

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_pause(&args);
    frt_assert_record(args.to, "recording");
    frt_recover(&args);
    frt_end_record(&args, NULL);
    frt_check_order(&args, true);
    frt_load_with_set(&args);
    frt_end(&args);
}

/* The time of the record passes during the pause. */
static void test_end_in_pause(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_DEMAND, .start.oob = true,
    };

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_pause(&args);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    frt_wait_written(&args, NULL);
    frt_recover(&args);
    frt_wait_status(args.to, "completed");
    frt_check_order(&args, true);
    frt_load_with_set(&args);
    frt_end(&args);
}

/* Recovered with another file, whose set is another one, while a set comes. */
static void test_recover_copy(void)
{
    FixedRamTest args = {
        .save = FR_FIXED, .load = FR_DEMAND, .start.oob = true,
    };
    g_autofree char *uri = frt_file_uri("copy");

    if (!frt_prepare(&args)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_set_record(args.to, 1);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    frt_touch_pages(args.to);
    frt_end_record(&args, NULL);

    /* The copy has none. */
    frt_restart_target(&args, "defer", "");
    args.crawl = true;
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    frt_pause(&args);
    qtest_qmp_assert_success(
        args.to, "{ 'exec-oob': 'migrate-recover', 'arguments': "
        "{ 'uri': %s } }", uri);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/* QEMU ends while it records: the snapshot is as it was. */
static void test_quit(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    gsize length_before, length_after;

    if (!frt_prepare(&args)) {
        return;
    }
    before = frt_read_snapshot(&args, &length_before);
    frt_set_record(args.to, FOR_EVER);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    frt_touch_pages(args.to);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    qtest_qmp_assert_success(args.to, "{ 'execute': 'quit' }");
    qtest_wait_qemu(args.to);
    after = frt_read_snapshot(&args, &length_after);
    g_assert_cmpmem(before, length_before, after, length_after);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* QEMU ends while the set is being written: old or new, both load. */
static void test_quit_writing(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    bool recording = true;

    if (!frt_begin_record(&args)) {
        return;
    }
    qtest_qmp_assert_success(args.to, "{ 'execute': 'cont' }");
    while (recording) {
        QDict *info = migrate_query(args.to);
        QDict *stats = qdict_get_qdict(info, "fixed-ram");

        recording = g_str_equal(
            qdict_get_str(qdict_get_qdict(stats, "record"), "status"),
            "recording");
        qobject_unref(info);
    }
    qtest_qmp_assert_success(args.to, "{ 'execute': 'quit' }");
    qtest_wait_qemu(args.to);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "pause", test_pause },
    { "end-in-pause", test_end_in_pause },
    { "recover-copy", test_recover_copy },
    { "quit", test_quit },
    { "quit-writing", test_quit_writing },
};

void frt_add_record_end_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "record-end", cases, ARRAY_SIZE(cases));
}
