/*
 * QTest testcases for fixed-ram: pause and recover
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/* While memory is missing nobody may copy it. */
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

static void assert_recover_refused(FixedRamTest *t, const char *what,
                                   const char *file)
{
    g_autofree char *uri = frt_file_uri(file);

    frt_assert_refused(t->to, what, "{ 'exec-oob': 'migrate-recover', "
                       "'id': 'recover', 'arguments': { 'uri': %s } }",
                       uri);
    frt_wait_status(t->to, "postcopy-paused");
}

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
    assert_recover_refused(&args, "other|No such file", "other");
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    migrate_recover(args.to, uri);
    frt_load_rest(&args);
    g_assert_cmpstr(args.events->str, ==,
                    "setup active postcopy-active postcopy-paused "
                    "postcopy-recover postcopy-active completed");
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
    assert_recover_refused(&args, "again|devices' states differ", "again");
    assert_recover_refused(&args, "copy|devices' states differ", "copy");
    save_other("-nodefaults");
    assert_recover_refused(&args, "other|blocks, the one being loaded has",
                           "other");
    save_other("-m 32M");
    assert_recover_refused(&args, "other|found block 'pc.ram' of 0x", "other");
    migrate_recover(args.to, args.uri);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
}

/* The same guest in the same state, saved once more: it may be another one. */
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
    assert_recover_refused(&args, "copy|identities differ", "copy");
    migrate_recover(args.to, args.uri);
    frt_load_rest(&args);
    frt_check(&args);
    frt_end(&args);
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

/* Some of it cannot be had: the guest stays, but goes nowhere else. */
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
    frt_assert_refused(args.to, "No load is paused", command, "pc.ram",
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

/* What has one checksum; the pattern has no zeros there. */
static void test_give_up_cluster(void)
{
    give_up(FR_FIXED, 16 * SNAPSHOT_PAGE_SIZE);
}

static const FixedRamCase cases[] = {
    { "copy", test_recover },
    { "other", test_recover_other, true },
    { "identity", test_recover_identity, true },
    { "run", test_recover_run, true },
    { "give-up/page", test_give_up_page },
    { "give-up/cluster", test_give_up_cluster, true },
};

void frt_add_recover_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "recover", cases, ARRAY_SIZE(cases));
}
