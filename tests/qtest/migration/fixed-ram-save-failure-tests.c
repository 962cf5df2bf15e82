/*
 * QTest testcases for fixed-ram: saves that fail or are cancelled
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

/* The state that must not come when a save fails. */
static const char *completed[] = { "completed", NULL };

/* A guest that was saved needs "cont" to run again. */
static void go_on(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
}

/* The load is refused because the snapshot is not complete. */
static void assert_incomplete(FixedRamTest *t)
{
    frt_set_mode(t->to, FR_FIXED);
    frt_assert_refused(t->to, "is incomplete: its save was cut off",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s, "
                       "'exit-on-error': false } }", t->uri);
}

/* Copy the file as it would be left if the process were killed now. */
static void test_cut_off(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    /* The file was a complete snapshot before. */
    go_on(args.from);
    frt_save_begin(&args, args.uri);
    frt_wait_rounds(args.from, 2);
    frt_assert_being_written(FILE_TEST_FILENAME);
    migrate_cancel(args.from);
    wait_for_migration_status(args.from, "cancelled", NULL);
    frt_assert_being_written(FILE_TEST_FILENAME);
    assert_incomplete(&args);
    g_assert_true(frt_running(args.from));

    /* The next save makes it complete again. */
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    frt_save(&args);
    frt_end(&args);
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
static void assert_failed(QTestState *qts, const char *what)
{
    QDict *info;

    wait_for_migration_status(qts, "failed", completed);
    info = migrate_query(qts);
    frt_assert_says(qdict_get_str(info, "error-desc"), what);
    qobject_unref(info);
}

/* The event "failed" comes once for a save. */
static void assert_failed_once(QTestState *who)
{
    unsigned failed = 0;
    QDict *event;

    /* The events of the save come before the answer of the next command. */
    qtest_qmp_assert_success(who, "{ 'execute': 'query-migrate' }");
    while ((event = qtest_qmp_event_ref(who, "MIGRATION"))) {
        failed += g_str_equal(qdict_get_str(qdict_get_qdict(event, "data"),
                                            "status"), "failed");
        qobject_unref(event);
    }
    g_assert_cmpuint(failed, ==, 1);
}

static void save_failing(FixedRamTest *t, const FixedRamFaultsRule *fault,
                         const char *what)
{
    frt_faults_set(0, fault);
    frt_set_mode(t->from, t->save);
    migrate_ensure_converge(t->from);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    assert_failed(t->from, what);
    assert_failed_once(t->from);
    g_assert_cmpuint(frt_faults_injected(0), >, 0);
    frt_faults_off(0);
}

/* A guest that ran runs on, and can be saved when there is space again. */
static void save_after_all(FixedRamTest *t)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (t->live && !frt_running(t->from)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    frt_save(t);
    frt_faults_end(t);
}

/* QEMU has not kept a lock of the file that it could not write. */
static void assert_unlocked(const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fcntl(fd, F_OFD_GETLK, &lock), ==, 0);
    g_assert_cmpint(lock.l_type, ==, F_UNLCK);
    close(fd);
}

/*
 * A save fails when it opens its file.  The next save, with mapped-ram, is not
 * affected.
 */
static void test_no_further(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .fds = 1,
    };
    /* The file is sealed, so it cannot be truncated. */
    int sealed = qemu_memfd_create("sealed", MiB, false, 0, F_SEAL_SHRINK,
                                   NULL);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", sealed);
    g_autofree uint8_t *content = g_malloc(MiB);
    int fd = open(path, O_WRONLY);

    if (fd < 0) {
        g_test_skip("there are no sealed files here");
        return;
    }
    if (frt_start(&args)) {
        frt_fill(&args);
        qtest_qmp_fds_assert_success(args.from, &fd, 1, "{ 'execute': "
                                     "'add-fd', 'arguments': "
                                     "{ 'fdset-id': 7 } }");
        frt_set_mode(args.from, FR_FIXED);
        frt_assert_refused(args.from, "failed to truncate",
                           "{ 'execute': 'migrate', 'arguments': "
                           "{ 'uri': 'file:/dev/fdset/7' } }");
        assert_unlocked(path);
        migrate_set_capability(args.from, "fixed-ram", false);
        frt_save(&args);
        g_assert_cmpint(pread(sealed, content, MiB, 0), ==, MiB);
        g_assert_true(buffer_is_zero(content, MiB));
        g_assert_cmpint(lseek(sealed, 0, SEEK_END), ==, MiB);
        frt_end(&args);
    }
    close(fd);
    close(sealed);
}

/* The disk is full at the table of checksums and the index. */
static void test_full(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
    };
    uint64_t index;

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    frt_save(&args);
    index = frt_superblock(FILE_TEST_FILENAME).index_offset;
    go_on(args.from);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = index - 10,
    }, FILE_TEST_FILENAME "'|cannot write|No space left");
    frt_assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

/* The disk is full in the middle of the pages. */
static void test_full_pages(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = 20 * MiB + 4096,
        .end = 150 * MiB,
    }, FILE_TEST_FILENAME "'|cannot write|No space left");
    frt_assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

static void test_full_pages_plain(void)
{
    test_full_pages(FR_FIXED);
}

/* The disk is full before the first page. */
static void test_full_head(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = 16,
        .end = 4096,
    }, FILE_TEST_FILENAME "': offset 0x|write|No space left");
    save_after_all(&args);
}

static void test_full_head_plain(void)
{
    test_full_head(FR_FIXED);
}

static void test_full_head_multifd(void)
{
    test_full_head(FR_FIXED | FR_MULTIFD);
}

static void test_full_pages_multifd(void)
{
    test_full_pages(FR_FIXED | FR_MULTIFD);
}

/* A write that is cut short, as by a signal, is continued. */
static void test_short_writes(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = EINTR,
        .first = PATTERN_START + 7 * MiB + 4096,
        .end = PATTERN_START + 7 * MiB + 8192,
        .left = 1,
    });
    frt_save(&args);
    g_assert_cmpuint(frt_faults_injected(0), ==, 1);
    frt_faults_end(&args);
}

/*
 * A sync fails: the first one follows the first superblock, the second one
 * follows all other bytes, and the third one follows the final superblock.
 */
static void test_sync(uint64_t after)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .live = true,
    };
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    struct stat st;

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_SYNC_ERROR,
        .error = EIO,
        .after = after,
    }, FILE_TEST_FILENAME "'|to disk|" "Input/output error");
    frt_assert_being_written(FILE_TEST_FILENAME);
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

/* Cancel while a sync hangs, before the superblock says "complete" or after. */
static void test_cancel_late(uint64_t after, uint32_t state)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .live = true,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_SYNC_HANG,
        .after = after,
    });
    frt_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    frt_faults_wait_hanging(0, 1);
    g_assert_cmpuint(frt_superblock(FILE_TEST_FILENAME).state, ==, state);
    migrate_cancel(args.from);
    /* A superblock that does not say "complete" is left alone. */
    frt_faults_set(1, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = MiB - SUPERBLOCK_BYTES,
        .end = MiB,
    });
    frt_faults_off(0);
    if (state == SUPERBLOCK_COMPLETE) {
        frt_faults_wait_hanging(1, 1);
        frt_faults_off(1);
    }
    wait_for_migration_status(args.from, "cancelled",
                              completed);
    frt_faults_off(1);
    frt_assert_being_written(FILE_TEST_FILENAME);
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
    { "cut-off", test_cut_off_plain },
    { "cut-off-multifd-dio", test_cut_off_multifd_dio, true },
    { "no-further", test_no_further, true },
    { "full", test_full },
    { "full-head", test_full_head_plain },
    { "full-head-multifd", test_full_head_multifd, true },
    { "full-pages", test_full_pages_plain, true },
    { "full-pages-multifd", test_full_pages_multifd, true },
    { "short-writes", test_short_writes, true },
    { "sync-begin", test_sync_begin, true },
    { "sync-all", test_sync_all, true },
    { "sync-end", test_sync_end, true },
    { "cancel-index", test_cancel_late_index, true },
    { "cancel-superblock", test_cancel_late_superblock },
};

void frt_add_save_failure_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "save-failure", cases, ARRAY_SIZE(cases));
}
