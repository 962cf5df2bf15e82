/*
 * QTest testcases for fixed-ram: who may use a snapshot's file, and when
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

typedef enum Held { HELD_BY_NOBODY, HELD_SHARED, HELD_ALONE } Held;

/* How do others hold the snapshot @name from @start on? */
static Held held(const char *name, uint64_t start)
{
    g_autofree char *path = fixed_ram_path(name);
    int fd = open(path, O_RDWR);
    Held how = HELD_BY_NOBODY;

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
    g_autofree char *path = fixed_ram_path(name);
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
    return fixed_ram_prepare(t);
}

/* Once saved it must be told that it is the guest that goes on. */
static void go_on(QTestState *who)
{
    qtest_qmp_assert_success(who, "{ 'execute': 'cont' }");
}

static void assert_save_refused(FixedRamTest *t)
{
    go_on(t->from);
    fixed_ram_assert_refused(t->from, FILE_TEST_FILENAME "|is being loaded",
                             "{ 'execute': 'migrate', "
                             "'arguments': { 'uri': %s } }", t->uri);
}

/* Nobody saves over a snapshot under the guest that runs from it. */
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
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_BY_NOBODY);
    fixed_ram_load_begin(&args);
    fixed_ram_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    assert_save_refused(&args);
    fixed_ram_load_rest(&args);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_BY_NOBODY);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/* A set's descriptor lives on; its lock must not. */
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
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_BY_NOBODY);
    fixed_ram_load_begin(&args);
    fixed_ram_wait_status(args.to, "postcopy-active");
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    fixed_ram_load_rest(&args);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_BY_NOBODY);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/* Loaders share; what a saver holds is not loaded. */
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
    fixed_ram_set_mode(args.to, load);
    fd = hold(FILE_TEST_FILENAME, true);
    fixed_ram_assert_refused(args.to, FILE_TEST_FILENAME "|is being written",
                             "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", args.uri);
    close(fd);
    fd = hold(FILE_TEST_FILENAME, false);
    fixed_ram_load(&args);
    close(fd);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static void test_others_demand(void)
{
    test_others(FR_DEMAND);
}

static void test_others_eager(void)
{
    test_others(FR_FIXED);
}

/* The same when it goes on from a copy. */
static void test_recover(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };
    g_autofree char *uri = fixed_ram_file_uri("copy");
    int fd;

    if (!prepare(&args)) {
        return;
    }
    fixed_ram_load_begin(&args);
    fixed_ram_wait_status(args.to, "postcopy-active");
    migrate_pause(args.to);
    fixed_ram_wait_status(args.to, "postcopy-paused");
    fixed_ram_copy_file(FILE_TEST_FILENAME, "copy");
    fd = hold("copy", true);
    fixed_ram_assert_refused(args.to, "copy|is being written",
                             "{ 'exec-oob': 'migrate-recover', 'id': 'r', "
                             "'arguments': { 'uri': %s } }", uri);
    close(fd);
    g_assert_cmpint(held(FILE_TEST_FILENAME, 0), ==, HELD_SHARED);
    migrate_recover(args.to, uri);
    g_assert_cmpint(held("copy", 0), ==, HELD_SHARED);
    fixed_ram_load_rest(&args);
    g_assert_cmpint(held("copy", 0), ==, HELD_BY_NOBODY);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

/* What is being saved is held until the save has ended. */
static void test_save(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
    };
    g_autofree char *uri = fixed_ram_file_uri("other");

    if (!prepare(&args)) {
        return;
    }
    go_on(args.from);
    migrate_ensure_non_converge(args.from);
    migrate_qmp(args.from, NULL, uri, NULL, "{}");
    wait_for_migration_status(args.from, "active", NULL);
    g_assert_cmpint(held("other", 0), ==, HELD_ALONE);
    fixed_ram_set_mode(args.to, FR_DEMAND);
    fixed_ram_assert_refused(args.to, "other|is being written",
                             "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    migrate_cancel(args.from);
    wait_for_migration_status(args.from, "cancelled", NULL);
    g_assert_cmpint(held("other", 0), ==, HELD_BY_NOBODY);
    /* What it has left is no snapshot. */
    fixed_ram_assert_refused(args.to, "other",
                             "{ 'execute': 'migrate-incoming', "
                             "'arguments': { 'uri': %s } }", uri);
    fixed_ram_load(&args);
    fixed_ram_check(&args);
    fixed_ram_end(&args);
}

static const FixedRamCase cases[] = {
    { "lock/load", test_load },
    { "lock/load-fdset", test_load_fdset, true },
    { "lock/others-demand", test_others_demand, true },
    { "lock/others-eager", test_others_eager, true },
    { "lock/recover", test_recover, true },
    { "lock/save", test_save },
};

void fixed_ram_add_lock_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}
