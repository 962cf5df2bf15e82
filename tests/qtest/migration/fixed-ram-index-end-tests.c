/*
 * QTest testcases for fixed-ram: saves that do not come to their end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define WAIT_SECONDS    240
#define ROUNDS          4

/* What must not come when a save has failed. */
static const char *completed[] = { "completed", NULL };

/* Once saved it must be told that it is the guest that goes on. */
static void go_on(QTestState *who)
{
    qtest_qmp_assert_success(who, "{ 'execute': 'cont' }");
}

/* Whatever else is wrong with it, that is why. */
static void assert_incomplete(FixedRamTest *t)
{
    fixed_ram_set_mode(t->to, FR_FIXED);
    fixed_ram_assert_refused(t->to, "is incomplete: its save was cut off",
                             "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s, "
                             "'exit-on-error': false } }", t->uri);
}

/* What stays if the process were killed now: the file as it is. */
static void test_cut_off(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    /* There was a complete snapshot. */
    go_on(args.from);
    fixed_ram_save_begin(&args, args.uri);
    fixed_ram_wait_rounds(args.from, 2);
    fixed_ram_assert_being_written(FILE_TEST_FILENAME);
    migrate_cancel(args.from);
    wait_for_migration_status(args.from, "cancelled", NULL);
    fixed_ram_assert_being_written(FILE_TEST_FILENAME);
    assert_incomplete(&args);
    g_assert_true(fixed_ram_running(args.from));

    /* And with the next one it is there again. */
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    fixed_ram_save(&args);
    fixed_ram_end(&args);
}

static void test_cut_off_plain(void)
{
    test_cut_off(FR_FIXED);
}

static void test_cut_off_multifd_dio(void)
{
    test_cut_off(FR_FIXED | FR_MULTIFD | FR_DIRECT);
}

/* error-desc says all of @what: "this|that". */
static void assert_failed(QTestState *who, const char *what)
{
    g_auto(GStrv) parts = g_strsplit(what, "|", -1);
    QDict *info;
    const char *desc;

    wait_for_migration_status(who, "failed",
                              completed);
    info = migrate_query(who);
    desc = qdict_get_str(info, "error-desc");
    for (size_t i = 0; parts[i]; i++) {
        if (!strstr(desc, parts[i])) {
            g_error("\"%s\" does not say \"%s\"", desc, parts[i]);
        }
    }
    qobject_unref(info);
}

static void save_failing(FixedRamTest *t, const FixedRamFaultsRule *fault,
                         const char *what)
{
    fixed_ram_faults_set(0, fault);
    fixed_ram_set_mode(t->from, t->save);
    migrate_ensure_converge(t->from);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    assert_failed(t->from, what);
    g_assert_cmpuint(fixed_ram_faults_injected(0), >, 0);
    fixed_ram_faults_off(0);
}

/* A guest that ran runs on, and can be saved when there is room again. */
static void save_after_all(FixedRamTest *t)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (t->live && !fixed_ram_running(t->from)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    fixed_ram_save(t);
    fixed_ram_faults_end(t);
}

/*
 * A save that came no further than to its file: the next one, by mapped-ram,
 * has nothing to do with that.
 */
static void test_no_further(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .fds = 1,
    };
    /* It cannot be made empty. */
    int sealed = qemu_memfd_create("sealed", MiB, false, 0, F_SEAL_SHRINK,
                                   NULL);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", sealed);
    g_autofree uint8_t *content = g_malloc(MiB);
    int fd = open(path, O_WRONLY);

    if (fd < 0) {
        g_test_skip("there are no sealed files here");
        return;
    }
    if (fixed_ram_start(&args)) {
        fixed_ram_fill(&args);
        qtest_qmp_fds_assert_success(args.from, &fd, 1, "{ 'execute': "
                                     "'add-fd', 'arguments': "
                                     "{ 'fdset-id': 7 } }");
        fixed_ram_set_mode(args.from, FR_FIXED);
        fixed_ram_assert_refused(args.from, "failed to truncate",
                                 "{ 'execute': 'migrate', 'arguments': "
                                 "{ 'uri': 'file:/dev/fdset/7' } }");
        migrate_set_capability(args.from, "fixed-ram", false);
        fixed_ram_save(&args);
        g_assert_cmpint(pread(sealed, content, MiB, 0), ==, MiB);
        g_assert_true(buffer_is_zero(content, MiB));
        g_assert_cmpint(lseek(sealed, 0, SEEK_END), ==, MiB);
        fixed_ram_end(&args);
    }
    close(fd);
    close(sealed);
}

/* The disk is full where the table and the index would be. */
static void test_full(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
    };
    uint64_t index;

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_save(&args);
    index = fixed_ram_superblock(FILE_TEST_FILENAME).index_offset;
    go_on(args.from);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = index - 10,
    }, FILE_TEST_FILENAME "'|cannot write|No space left");
    fixed_ram_assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

/* It is full in the middle of the pages. */
static void test_full_pages(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = 20 * MiB + 4096,
        .end = 150 * MiB,
    }, "No space left");
    fixed_ram_assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

static void test_full_pages_multifd(void)
{
    test_full_pages(FR_FIXED | FR_MULTIFD);
}

/* Writes that are cut, as by a signal, go on. */
static void test_short_writes(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = EINTR,
        .first = PATTERN_START + 7 * MiB + 4096,
        .end = PATTERN_START + 7 * MiB + 8192,
        .left = 1,
    });
    fixed_ram_save(&args);
    g_assert_cmpuint(fixed_ram_faults_injected(0), ==, 1);
    fixed_ram_faults_end(&args);
}

/*
 * The disk takes all but cannot write it down: the first time there is no more
 * than a superblock, the second time all but that is written, and the third
 * time it is what cannot be.
 */
static void test_sync(uint64_t after)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .live = true,
    };
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    struct stat st;

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_SYNC_ERROR,
        .error = EIO,
        .after = after,
    }, FILE_TEST_FILENAME "'|to disk|" "Input/output error");
    fixed_ram_assert_being_written(FILE_TEST_FILENAME);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_blocks * 512 < MiB, ==, after == 0);
    save_after_all(&args);
}

static void test_sync_begin(void)
{
    test_sync(0);
}

static void test_sync_all(void)
{
    test_sync(1);
}

static void test_sync_end(void)
{
    test_sync(2);
}

/*
 * Cancelled when it was complete, but for the disk: before the superblock says
 * so, or after.
 */
static void test_cancel_late(uint64_t after, uint32_t state)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .live = true,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_SYNC_HANG,
        .after = after,
    });
    fixed_ram_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    fixed_ram_faults_wait_hanging(0, 1);
    g_assert_cmpuint(fixed_ram_superblock(FILE_TEST_FILENAME).state, ==, state);
    migrate_cancel(args.from);
    /* What is not complete need not be taken back. */
    fixed_ram_faults_set(1, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = MiB - SUPERBLOCK_BYTES,
        .end = MiB,
    });
    fixed_ram_faults_off(0);
    if (state == SUPERBLOCK_COMPLETE) {
        fixed_ram_faults_wait_hanging(1, 1);
        fixed_ram_faults_off(1);
    }
    wait_for_migration_status(args.from, "cancelled",
                              completed);
    fixed_ram_faults_off(1);
    fixed_ram_assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

static void test_cancel_late_index(void)
{
    test_cancel_late(1, SUPERBLOCK_BEING_WRITTEN);
}

static void test_cancel_late_superblock(void)
{
    test_cancel_late(2, SUPERBLOCK_COMPLETE);
}

static const FixedRamCase cases[] = {
    { "index/cut-off", test_cut_off_plain },
    { "index/cut-off-multifd-dio", test_cut_off_multifd_dio, true },
    { "index/no-further", test_no_further, true },
    { "index/full", test_full },
    { "index/full-pages-multifd", test_full_pages_multifd, true },
    { "index/short-writes", test_short_writes, true },
    { "index/sync-begin", test_sync_begin, true },
    { "index/sync-all", test_sync_all, true },
    { "index/sync-end", test_sync_end, true },
    { "index/cancel-index", test_cancel_late_index, true },
    { "index/cancel-superblock", test_cancel_late_superblock },
};

void fixed_ram_add_index_end_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}
