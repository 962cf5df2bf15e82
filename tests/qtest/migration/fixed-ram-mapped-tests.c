/*
 * QTest testcases for fixed-ram: RAM that is a private mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faultfs.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

static bool flag(QTestState *qts, const char *name)
{
    QDict *info = migrate_query(qts);
    bool value = qdict_get_bool(qdict_get_qdict(info, "fixed-ram"), name);

    qobject_unref(info);
    return value;
}

static void check_figures(FixedRamTest *t)
{
    g_assert_true(flag(t->to, "mapped"));
    g_assert_false(flag(t->to, "on-demand"));
    g_assert_false(flag(t->to, "verified"));
    g_assert_cmpint(frt_figure(t->to, "loader-bytes"), ==, 0);
    g_assert_cmpint(frt_ram_figure(t->to, "transferred"), ==, 0);
    g_assert_cmpint(frt_ram_figure(t->to, "remaining"), ==, 0);
    g_assert_cmpint(frt_ram_figure(t->to, "total"), >=, 150 * MiB);
    frt_hmp_says(t->to, "info migrate", "fixed-ram load: mapped");
}

/* The loaded guest holds what the snapshot has, and leaves that alone. */
static void load_and_check(FixedRamTest *t)
{
    g_autofree char *before = frt_file_sum(FILE_TEST_FILENAME), *after = NULL;

    frt_load(t);
    check_figures(t);
    frt_write_pattern(t->to);
    frt_change_memory(t->to);
    after = frt_file_sum(FILE_TEST_FILENAME);
    g_assert_cmpstr(before, ==, after);

    frt_restart_target(t, "defer",
                       "-global migration.fixed-ram-load-mode=mapped");
    frt_load(t);
    frt_compare(t);
}

static void test_mapped(FixedRamTest *t)
{
    t->load_mode = "mapped";
    if (frt_prepare(t)) {
        load_and_check(t);
        frt_end(t);
    }
}

static void test_plain(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    test_mapped(&args);
}

/* A file of mapped-ram has no flag that says what lies under its zero pages. */
static void test_mapped_ram(void)
{
    FixedRamTest args = {
        .save = FR_MAPPED,
        .load = FR_MAPPED,
    };

    test_mapped(&args);
}

/* Pages that were saved became zero, and the file still has the old bytes. */
static void test_stale(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
        .live = true,
        .wipe = true,
    };
    g_autoptr(Snapshot) s = NULL;

    if (!frt_prepare(&args)) {
        return;
    }
    s = frt_open_snapshot(&args);
    g_assert_cmpuint(snapshot_stale_pages(s), >, 0);
    load_and_check(&args);
    frt_end(&args);
}

static void test_fdset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
        .fds = 1,
        .offset = FILE_TEST_OFFSET,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    check_figures(&args);
    frt_compare_ram(&args);
    frt_end(&args);
}

/* The guest runs, and writes to its memory all the time. */
static void test_run(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
        .live = true,
        .run = true,
    };
    g_autofree char *before = NULL, *after = NULL;
    g_autoptr(Snapshot) s = NULL;

    if (!frt_prepare(&args)) {
        return;
    }
    before = frt_file_sum(FILE_TEST_FILENAME);
    frt_load(&args);
    wait_for_serial("dest_serial");
    after = frt_file_sum(FILE_TEST_FILENAME);
    g_assert_cmpstr(before, ==, after);
    s = frt_open_snapshot(&args);
    snapshot_check_index(s, true);
    frt_end(&args);
}

/* What one guest writes is seen neither by its twin nor in the file. */
static void test_twins(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    FixedRamTest twin = args;

    if (!frt_prepare(&args)) {
        return;
    }
    twin.from = args.from;
    twin.start.only_target = true;
    g_assert_true(frt_start(&twin));
    frt_load(&args);
    frt_load(&twin);
    frt_wipe_pattern(args.to);
    frt_change_memory(args.to);
    frt_compare_ram(&twin);
    qtest_quit(twin.to);
    g_string_free(twin.events, true);
    g_free(twin.uri);
    frt_end(&args);
}

#define NUMA_NODES \
    "-m %s -smp 2 -numa node,memdev=mem0,cpus=0 -numa node,memdev=mem1,cpus=1"
#define NUMA_MEMORY \
    "-object memory-backend-ram,id=mem0,size=75M " \
    "-object memory-backend-ram,id=mem1,size=75M,reserve=off"

static void test_numa(void)
{
    FixedRamTest args = {
        .start.memory_backend = NUMA_NODES,
        .start.opts_source = NUMA_MEMORY,
        .start.opts_target = NUMA_MEMORY,
        .save = FR_FIXED | FR_MULTIFD,
        .load = FR_FIXED | FR_MULTIFD,
        .pattern_block = "mem1",
        .pattern_offset = 29 * MiB,
    };

    test_mapped(&args);
}

/*
 * Saving again: what no thread has touched is not zero
 */

static void test_save_bulk(void)
{
    g_autofree char *path = NULL, *uri = NULL;
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    g_autoptr(Snapshot) want = NULL, have = NULL;

    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    uri = frt_file_uri("other");
    migrate_ensure_converge(args.to);
    migrate_qmp(args.to, NULL, uri, NULL, "{}");
    frt_wait_saved(args.to);
    path = frt_path("other");
    want = frt_open_snapshot(&args);
    have = snapshot_open(path, 0);
    snapshot_check_index(have, true);
    snapshot_assert_same_ram(want, have);
    frt_end(&args);
}

/* The file stays locked: neither this guest nor another one saves over it. */
static void test_lock(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!qemu_has_ofd_lock()) {
        g_test_skip("this host has no locks of file descriptions");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    frt_assert_refused(args.from, FILE_TEST_FILENAME "|is being loaded",
                       "{ 'execute': 'migrate', 'arguments': { 'uri': %s } }",
                       args.uri);
    frt_assert_refused(args.to, FILE_TEST_FILENAME "|is being loaded",
                       "{ 'execute': 'migrate', 'arguments': { 'uri': %s } }",
                       args.uri);
    frt_compare_ram(&args);
    frt_end(&args);
}

/* The file has no name any more, and still is the guest's memory. */
static void test_unlink(void)
{
    g_autofree char *path = NULL, *copy = NULL;
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    path = frt_path(FILE_TEST_FILENAME);
    copy = frt_path("copy");
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_load(&args);
    g_assert_cmpint(rename(copy, path), ==, 0);
    frt_compare_ram(&args);
    frt_end(&args);
}

/*
 * What cannot be mapped.  Nothing changes, and the same QEMU loads in another
 * way.
 */
static void refuse(FixedRamTest *t, const char *words)
{
    frt_set_mode(t->to, t->load);
    frt_assert_refused(t->to, words, "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", t->uri);
    g_assert_cmpstr(t->events->str, ==, "");
    migrate_set_parameter_str(t->to, "fixed-ram-load-mode", "eager");
    t->load_mode = "eager";
    frt_load(t);
    frt_check(t);
}

static void test_refused(const char *machine, const char *opts,
                         const char *words)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.memory_backend = machine,
        .start.opts_source = machine ? "-object memory-backend-ram,id=mem0,"
                                       "size=150M" : NULL,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (frt_prepare(&args)) {
        refuse(&args, words);
        frt_end(&args);
    }
}

#define BACKEND "-m %s -machine memory-backend=mem0"

static void test_refused_shared(void)
{
    test_refused(BACKEND, "-object memory-backend-ram,id=mem0,size=150M,"
                 "share=on", "mem0|is shared");
}

static void test_refused_memfd(void)
{
    test_refused(BACKEND, "-object memory-backend-memfd,id=mem0,size=150M,"
                 "share=off", "mem0|is a file");
}

static void test_refused_mem_lock(void)
{
    test_refused(NULL, "-overcommit mem-lock=on-fault", "mem-lock");
}

/* Another process could change the file while it is the guest's RAM. */
static void test_refused_no_locks(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!frt_faultfs_start_without_locks()) {
        return;
    }
    if (frt_prepare(&args)) {
        g_free(args.uri);
        args.uri = frt_faultfs_uri(FILE_TEST_FILENAME);
        refuse(&args, FILE_TEST_FILENAME "|no locks");
        frt_end(&args);
    }
    frt_faultfs_stop();
}

/* Only a load on demand knows what the guest touches first. */
static void test_refused_record(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, args.load);
    migrate_set_parameter_int(args.to, "fixed-ram-record", 5);
    frt_assert_refused(args.to, "fixed-ram-record|not on demand",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", args.uri);
    migrate_set_parameter_int(args.to, "fixed-ram-record", 0);
    frt_load(&args);
    frt_compare_ram(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "plain", test_plain },
    { "mapped-ram", test_mapped_ram },
    { "stale", test_stale },
    { "fdset", test_fdset },
    { "run", test_run },
    { "twins", test_twins },
    { "numa", test_numa },
    { "save-bulk", test_save_bulk },
    { "lock", test_lock },
    { "unlink", test_unlink },
    { "refused-shared", test_refused_shared },
    { "refused-memfd", test_refused_memfd },
    { "refused-mem-lock", test_refused_mem_lock },
    { "refused-no-locks", test_refused_no_locks },
    { "refused-record", test_refused_record },
};

void frt_add_mapped_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "mapped", cases, ARRAY_SIZE(cases));
}
