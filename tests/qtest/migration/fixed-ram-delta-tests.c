/*
 * QTest testcases for fixed-ram: snapshots of what has changed
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
#include "migration/fixed-ram-scenario.h"
#include "migration/fixed-ram-working-set.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

static void test_load(FixedRamTest *t)
{
    if (frt_delta_prepare(t)) {
        frt_assert_delta_bitmaps(t);
        frt_load(t);
        frt_check_figures(t);
        frt_assert_loaded(t, "copy");
        frt_end(t);
    }
}

static void test_eager(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_FIXED };

    test_load(&args);
}

static void test_demand(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };

    test_load(&args);
}

static void test_eager_direct(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT | FR_MULTIFD,
        .load = FR_FIXED | FR_DIRECT | FR_MULTIFD,
    };

    test_load(&args);
}

static void test_demand_direct(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
        .load = FR_DEMAND | FR_DIRECT,
        .percent = 50,
    };

    test_load(&args);
}

static void test_buffered(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_BUFFERED, .load = FR_DEMAND | FR_BUFFERED,
    };

    test_load(&args);
}

/*
 * Chains
 */

/* Change a place of its own for each @number. */
static void change_more(QTestState *qts, unsigned number)
{
    qtest_memset(qts, PATTERN_START + number * 500 * KiB, 0x10 + number,
                 200 * KiB);
}

/* A delta to a delta to a delta, each of the moment after a change. */
static void test_chain(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    static const char *const names[] = {
        "other", "disk", "source", FILE_TEST_FILENAME,
    };

    if (!frt_delta_begin(&args)) {
        return;
    }
    for (unsigned i = 0; i + 1 < ARRAY_SIZE(names); i++) {
        frt_load_target(&args, names[i]);
        change_more(args.to, i);
        frt_save_target(&args, names[i], names[i + 1]);
        g_assert_cmpuint(frt_disk_bytes(names[i + 1]), <,
                         frt_disk_bytes("other") - 6 * MiB);
    }
    frt_load_target(&args, "other");
    for (unsigned i = 0; i + 1 < ARRAY_SIZE(names); i++) {
        change_more(args.to, i);
    }
    frt_save_target(&args, "", "copy");
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

/* Without a change nothing but metadata is written. */
static void test_unchanged(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_FIXED };

    if (!frt_delta_begin(&args)) {
        return;
    }
    frt_load_target(&args, "other");
    frt_save_target(&args, "other", FILE_TEST_FILENAME);
    g_assert_cmpuint(frt_disk_bytes(FILE_TEST_FILENAME), <, 4 * MiB);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    frt_assert_loaded(&args, "other");
    frt_end(&args);
}

static void move(const char *from, const char *to)
{
    g_autofree char *a = frt_path(from);
    g_autofree char *b = frt_path(to);

    g_assert_cmpint(rename(a, b), ==, 0);
}

/*
 * What comes first
 */

/* The pages of the delta, and no more than those. */
static void test_own_first(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    int64_t pages, placed;

    if (!frt_delta_prepare(&args)) {
        return;
    }
    frt_load(&args);
    pages = frt_set_figure(args.to, "working-set", "pages");
    placed = frt_set_figure(args.to, "working-set", "placed");
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, <=,
                    frt_disk_bytes(FILE_TEST_FILENAME));
    /* Devices may come first to some of the pages that they have written. */
    g_assert_cmpint(placed, <=, pages);
    g_assert_cmpint(placed, >=, FRT_CHANGED_BYTES / SNAPSHOT_PAGE_SIZE);
    frt_assert_loaded(&args, "copy");
    frt_restart_target(&args, "defer",
                       "-global migration.fixed-ram-working-set=off");
    frt_load(&args);
    g_assert_false(frt_has_group(args.to, "working-set"));
    frt_end(&args);
}

/* The set that was recorded for the base follows. */
static void test_set_of_base(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    g_autofree uint8_t *want = g_malloc(PATTERN_BYTES);
    int64_t recorded;

    if (!frt_begin_record(&args)) {
        return;
    }
    frt_end_record(&args, NULL);
    recorded = frt_set_figure(args.to, "record", "pages");
    move(FILE_TEST_FILENAME, "other");
    frt_load_target(&args, "other");
    qtest_memset(args.to, FRT_CHANGED, 0x77, FRT_CHANGED_BYTES);
    frt_read_memory(args.to, PATTERN_START, want, PATTERN_BYTES);
    frt_save_target(&args, "other", FILE_TEST_FILENAME);
    frt_restart_target(&args, "defer", "");
    frt_load(&args);
    g_assert_cmpint(frt_set_figure(args.to, "working-set", "pages"), >=,
                    recorded / 2 + FRT_CHANGED_BYTES / SNAPSHOT_PAGE_SIZE);
    frt_assert_pattern(args.to, want);
    frt_end(&args);
}

/* Up to a guest that runs while its RAM is still loaded, from two files. */
static bool begin_crawl(FixedRamTest *t)
{
    *t = (FixedRamTest) {
        .start = { .oob = true, .hide_stderr = true },
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    if (!frt_delta_prepare(t)) {
        return false;
    }
    frt_begin_crawl(t);
    return true;
}

/* Paused, and recovered from the same files and from a copy of the delta. */
static void test_recover(void)
{
    FixedRamTest args;
    g_autofree char *uri = frt_file_uri("disk");

    if (!begin_crawl(&args)) {
        return;
    }
    frt_pause(&args);
    frt_recover(&args);
    frt_pause(&args);
    frt_assert_recovery_fails(&args, "other", "identities differ");
    frt_copy_file(FILE_TEST_FILENAME, "disk");
    migrate_recover(args.to, uri);
    frt_load_rest(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

static void assert_same_pattern(FixedRamTest *t)
{
    g_autofree uint8_t *want = g_malloc(PATTERN_BYTES);

    frt_read_memory(t->from, PATTERN_START, want, PATTERN_BYTES);
    frt_assert_pattern(t->to, want);
}

/*
 * A saver has found the pattern's first clusters in the base, then a page there
 * is written to.  The delta must have those clusters whole.
 */
static void test_torn(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD, .load = FR_FIXED,
    };
    g_autofree char *path = frt_path("other");
    g_autofree char *uri = frt_file_uri("other");
    g_autoptr(Snapshot) base = NULL;
    uint64_t pages;

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    frt_set_mode(args.from, args.save);
    /* One saver, which goes through memory in order. */
    migrate_set_parameter_int(args.from, "multifd-channels", 1);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, uri, NULL, "{}");
    frt_wait_saved(args.from);
    base = snapshot_open(path, 0);
    pages = frt_pattern_block(&args, base)->pages_offset;
    /* The same guest cannot be saved again before it has run. */
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    frt_delta_change(args.from);
    frt_set_base(args.from, "other");
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = pages + FRT_CHANGED,
        .end = pages + FRT_CHANGED + FRT_CHANGED_BYTES,
    });
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    frt_faults_wait_hanging(0, 1);
    qtest_writel(args.from, PATTERN_START + 2 * MiB + 8192, 0xabcdef01);
    qtest_memset(args.from, PATTERN_START + 3 * MiB + 4096, 0, 4096);
    frt_faults_off(0);
    frt_wait_saved(args.from);
    frt_load(&args);
    assert_same_pattern(&args);
    frt_faults_end(&args);
}

/*
 * Layers that are not what they were
 */

static void assert_refused(FixedRamTest *t, const char *what)
{
    frt_assert_refused(t->to, what, "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", t->uri);
    g_assert_cmpstr(t->events->str, ==, "");
}

static void flip(const char *name, uint64_t at)
{
    g_autofree char *path = frt_path(name);
    int fd = open(path, O_RDWR);
    uint8_t byte;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
    close(fd);
}

/* A load that is refused changes nothing: the good base loads after it. */
static void test_wrong_base(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true, .save = FR_FIXED, .load = FR_DEMAND,
    };
    g_autofree char *path = frt_path("other");
    SnapshotSuperblock sb;

    if (!frt_delta_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, args.load);
    move("other", "disk");
    assert_refused(&args, "layer 1 of 1|other|No such file");
    /* Another snapshot of the same VM. */
    frt_copy_file("copy", "other");
    assert_refused(&args, "layer 1 of 1|other|another one|identity|expected");
    frt_copy_file("disk", "other");
    sb = frt_superblock("other");
    flip("other", sb.index_offset + 40);
    assert_refused(&args, "layer 1 of 1|other|CRC");
    g_assert_cmpint(truncate(path, 20 * MiB), ==, 0);
    assert_refused(&args, "layer 1 of 1|other|end");
    move("disk", "other");
    frt_load(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

/* The page is in the base; the error names that file. */
static void test_flipped(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true, .save = FR_FIXED, .load = FR_DEMAND,
    };
    g_autofree char *path = frt_path("other");
    g_autoptr(Snapshot) base = NULL;
    uint64_t at;

    if (!frt_delta_prepare(&args)) {
        return;
    }
    base = snapshot_open(path, 0);
    at = frt_pattern_block(&args, base)->pages_offset + PATTERN_START +
         7 * MiB + 8192;
    flip("other", at);
    frt_set_mode(args.to, args.load);
    frt_incoming(&args, args.uri);
    frt_wait_status(args.to, "postcopy-paused");
    frt_assert_reason(args.to, "other|pc.ram|not what was saved");
    frt_end(&args);
}

/* A layer in use cannot be overwritten. */
static void test_locked(void)
{
    FixedRamTest args;
    g_autofree char *uri = frt_file_uri("other");

    if (!begin_crawl(&args)) {
        return;
    }
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    frt_assert_refused(args.from, "other|loaded", "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", uri);
    frt_load_rest(&args);
    frt_assert_loaded(&args, "copy");
    frt_end(&args);
}

/*
 * Readers of full snapshots
 */

/* The base's own loader must not take what is left out for zeros. */
static void test_mapped_ram(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_MAPPED,
        .stock_load = true,
    };
    static const char *unexpected[] = { "completed", NULL };

    if (!frt_delta_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, FR_MAPPED);
    qtest_qmp_assert_success(args.to, "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': false } }", args.uri);
    wait_for_migration_status(args.to, "failed", unexpected);
    frt_end(&args);
}

/*
 * Saves that cannot be deltas
 */

static void assert_not_saved(FixedRamTest *t, const char *name,
                             const char *what)
{
    g_autofree char *uri = frt_file_uri(name);

    frt_assert_refused(t->from, what, "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", uri);
}

static void test_refused(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_FIXED };

    if (!frt_delta_begin(&args)) {
        return;
    }
    frt_set_base(args.from, "other");
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    assert_not_saved(&args, FILE_TEST_FILENAME,
                     "the guest runs|background-snapshot");
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    assert_not_saved(&args, "other", "other|is that file");
    migrate_set_parameter_str(args.from, "fixed-ram-verify", "off");
    assert_not_saved(&args, FILE_TEST_FILENAME, "fixed-ram-verify");
    migrate_set_parameter_str(args.from, "fixed-ram-verify", "on");
    frt_set_base(args.from, "missing");
    assert_not_saved(&args, FILE_TEST_FILENAME, "missing|No such file");
    /* The base is what it was. */
    move("other", FILE_TEST_FILENAME);
    frt_load(&args);
    frt_compare_ram(&args);
    frt_end(&args);
}

static void test_parameter(void)
{
    QTestState *qts = qtest_init("-machine none -global "
                                 "migration.fixed-ram-base=/a/b");

    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-base: '/a/b'");
    frt_hmp_silent(qts, "migrate_set_parameter fixed-ram-base c");
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-base: 'c'");
    frt_set_base(qts, "");
    frt_hmp_says(qts, "info migrate_parameters", "fixed-ram-base: ''");
    qtest_quit(qts);
}

static const FixedRamCase cases[] = {
    { "eager", test_eager },
    { "demand", test_demand },
    { "eager-direct", test_eager_direct },
    { "demand-direct", test_demand_direct, true },
    { "buffered", test_buffered, true },
    { "chain", test_chain },
    { "unchanged", test_unchanged },
    { "own-first", test_own_first },
    { "set-of-base", test_set_of_base },
    { "recover", test_recover },
    { "torn", test_torn },
    { "wrong-base", test_wrong_base },
    { "flipped", test_flipped },
    { "locked", test_locked },
    { "mapped-ram", test_mapped_ram },
    { "refused", test_refused },
    { "parameter", test_parameter },
};

void frt_add_delta_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "delta", cases, ARRAY_SIZE(cases));
}
