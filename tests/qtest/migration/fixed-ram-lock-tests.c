/*
 * QTest testcases for fixed-ram: locks on snapshots during saves and loads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

typedef enum Held { NOT_HELD, HELD_SHARED, HELD_ALONE } Held;

/* Find out which lock other processes hold on @name from @start on. */
static Held held(const char *name, uint64_t start)
{
    g_autofree char *path = frt_path(name);
    int fd = open(path, O_RDWR);
    Held how = NOT_HELD;

    g_assert_cmpint(fd, >=, 0);
    if (qemu_lock_fd_test(fd, start, 0, true)) {
        how = qemu_lock_fd_test(fd, start, 0, false) ? HELD_ALONE
                                                     : HELD_SHARED;
    }
    close(fd);
    return how;
}

/* Hold it ourselves, until the descriptor returned is closed. */
static int hold(const char *name, bool alone)
{
    g_autofree char *path = frt_path(name);
    int fd = open(path, O_RDWR);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(qemu_lock_fd(fd, 0, 0, alone), ==, 0);
    return fd;
}

static bool prepare(FixedRamTest *t)
{
    if (!qemu_has_ofd_lock()) {
        g_test_skip("this host has no locks of file descriptions");
        return false;
    }
    return frt_prepare(t);
}

/* A guest that was saved needs "cont" to run again. */
static void go_on(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
}

static void assert_save_refused(FixedRamTest *t)
{
    go_on(t->from);
    frt_assert_refused(t->from, FILE_TEST_FILENAME "|is being loaded",
                       "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': %s } }", t->uri);
}

/* A save over the snapshot that a guest is loaded from is refused. */
static void test_load(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!prepare(&args)) {
        return;
    }
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    assert_save_refused(&args);
    frt_load_rest(&args);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    frt_check(&args);
    frt_end(&args);
}

/* The descriptor of a set stays open; its lock must go. */
static void test_load_fdset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .fds = 1,
        .crawl = true,
    };

    if (!prepare(&args)) {
        return;
    }
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    frt_load_rest(&args);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    frt_check(&args);
    frt_end(&args);
}

/* Loaders share the snapshot; a snapshot that a saver holds is not loaded. */
static void test_others(unsigned load)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = load,
    };
    int fd;

    if (!prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, load);
    fd = hold(FILE_TEST_FILENAME, true);
    frt_assert_refused(args.to, FILE_TEST_FILENAME "|is being written",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", args.uri);
    close(fd);
    fd = hold(FILE_TEST_FILENAME, false);
    frt_load(&args);
    close(fd);
    frt_check(&args);
    frt_end(&args);
}

static void test_others_demand(void)
{
    test_others(FR_DEMAND);
}

static void test_others_eager(void)
{
    test_others(FR_FIXED);
}

/* The same for a load that is recovered from a copy. */
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
    int fd;

    if (!prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    migrate_pause(args.to);
    frt_wait_status(args.to, "postcopy-paused");
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    fd = hold("copy", true);
    frt_assert_recovery_fails(&args, "copy", "copy|is being written");
    close(fd);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    migrate_recover(args.to, uri);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(held("copy", 0), ==, HELD_SHARED);
    frt_load_rest(&args);
    g_assert_cmpint(held("copy", 0), ==, NOT_HELD);
    frt_check(&args);
    frt_end(&args);
}

/* A saver holds the file until the save has ended. */
static void test_save(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
    };
    g_autofree char *uri = frt_file_uri("other");

    if (!prepare(&args)) {
        return;
    }
    go_on(args.from);
    migrate_ensure_non_converge(args.from);
    migrate_qmp(args.from, NULL, uri, NULL, "{}");
    wait_for_migration_status(args.from, "active", NULL);
    g_assert_cmpint(held("other", 0), ==, HELD_ALONE);
    frt_set_mode(args.to, FR_DEMAND);
    frt_assert_refused(args.to, "other|is being written",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", uri);
    migrate_cancel(args.from);
    wait_for_migration_status(args.from, "cancelled", NULL);
    g_assert_cmpint(held("other", 0), ==, NOT_HELD);
    /* A save that was cancelled leaves no snapshot. */
    frt_assert_refused(args.to, "other",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", uri);
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

#define OTHER_SET   9

/* A set of one descriptor, which stays open in QEMU. */
static char *add_set(QTestState *qts, const char *name)
{
    g_autofree char *path = frt_path(name);
    int fd = open(path, O_RDONLY);

    g_assert_cmpint(fd, >=, 0);
    qtest_qmp_fds_assert_success(qts, &fd, 1, "{ 'execute': 'add-fd', "
                                 "'arguments': { 'fdset-id': %d } }",
                                 OTHER_SET);
    close(fd);
    return g_strdup_printf("/dev/fdset/%d", OTHER_SET);
}

/* A load that is refused leaves the set's descriptor without a lock. */
static void test_refused_fdset(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *set = NULL;
    g_autofree char *uri = NULL;
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autofree char *says = NULL;

    if (!prepare(&args)) {
        return;
    }
    set = add_set(args.to, FILE_TEST_FILENAME);
    uri = g_strdup_printf("file:%s", set);
    /* The message names the file, too. */
    says = g_strdup_printf("%s (%s)", set, path);
    /* The set has no descriptor with O_DIRECT. */
    frt_set_mode(args.to, FR_DEMAND | FR_DIRECT);
    frt_assert_refused(args.to, says, "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", uri);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    migrate_set_parameter_bool(args.to, "direct-io", false);
    frt_load(&args);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    frt_check(&args);
    frt_end(&args);
}

/* A recovery from @file begins, and fails: no stream begins at offset 1. */
static void fail_to_recover(FixedRamTest *t, const char *file)
{
    g_autofree char *uri = g_strdup_printf("file:%s,offset=1", file);
    QDict *info;

    migrate_recover(t->to, uri);
    frt_wait_status(t->to, "postcopy-paused");
    info = migrate_query(t->to);
    g_assert_nonnull(strstr(qdict_get_str(info, "error-desc"),
                            "not a VM snapshot"));
    qobject_unref(info);
}

/* The thread that recovers closes the file after it has told the result. */
static void wait_released(const char *name)
{
    while (held(name, 0) != NOT_HELD) {
        g_usleep(1000);
    }
}

/*
 * A recovery that fails unlocks its own descriptor only, and not the one
 * that the load reads from, although both may be copies of one descriptor.
 */
static void test_recover_fdset(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .fds = 1,
        .crawl = true,
    };
    g_autofree char *set = NULL;

    if (!prepare(&args)) {
        return;
    }
    frt_load_begin(&args);
    frt_wait_status(args.to, "postcopy-active");
    migrate_pause(args.to);
    frt_wait_status(args.to, "postcopy-paused");
    fail_to_recover(&args, args.uri + strlen("file:"));
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    set = add_set(args.to, "copy");
    fail_to_recover(&args, set);
    wait_released("copy");
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    migrate_recover(args.to, args.uri);
    frt_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    frt_load_rest(&args);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, NOT_HELD);
    frt_check(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "load", test_load },
    { "load-fdset", test_load_fdset, true },
    { "others-demand", test_others_demand, true },
    { "others-eager", test_others_eager, true },
    { "recover", test_recover, true },
    { "recover-fdset", test_recover_fdset, true },
    { "refused-fdset", test_refused_fdset, true },
    { "save", test_save },
};

void frt_add_lock_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "lock", cases, ARRAY_SIZE(cases));
}
