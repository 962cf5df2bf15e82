/*
 * QTest testcases for fixed-ram: the first milliseconds of saves and loads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Channels that cannot be opened, a cancel at any time, and settings that
 * change while multifd uses them.  mapped-ram alone must survive it, too.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define WAIT_SECONDS    240
#define ROUNDS          60
/* A cancel comes at most so many microseconds after the save has begun. */
#define CANCEL_USEC     30000
/* So slow that a save does not end by itself. */
#define CRAWLING        4096
#define NO_DIRECT       "/dev/fdset/7"

/* For a wait in which no state is a failure. */
static const char *none[] = { NULL };

static void cont(QTestState *qts)
{
    qtest_qmp_assert_success(qts, "{ 'execute': 'cont' }");
}

/* A set of descriptors for the snapshot, none of which writes directly. */
static void add_set_without_direct(QTestState *qts)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);

    for (int i = 0; i < 2; i++) {
        int fd = open(path, O_WRONLY);

        g_assert_cmpint(fd, >=, 0);
        qtest_qmp_fds_assert_success(qts, &fd, 1, "{ 'execute': 'add-fd', "
                                     "'arguments': { 'fdset-id': 7 } }");
        close(fd);
    }
}

static void wait_running(QTestState *qts)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (!frt_running(qts)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/* After the save was refused the old snapshot is complete and can be loaded. */
static void test_no_channel(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_DEMAND,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    add_set_without_direct(args.from);
    frt_set_mode(args.from, args.save);
    cont(args.from);
    frt_assert_refused(args.from, "multifd channel", "{ 'execute': 'migrate', "
                       "'arguments': { 'uri': 'file:" NO_DIRECT "' } }");
    g_assert_true(frt_running(args.from));
    g_assert_cmpuint(frt_superblock(FILE_TEST_FILENAME).state, ==,
                     SUPERBLOCK_COMPLETE);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    frt_load(&args);
    frt_compare(&args);
    frt_end(&args);
}

/* mapped-ram alone has truncated the file by then, but the guest goes on. */
static void test_no_channel_mapped(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED | FR_MULTIFD | FR_DIRECT,
        .live = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    add_set_without_direct(args.from);
    frt_set_mode(args.from, args.save);
    cont(args.from);
    migrate_qmp(args.from, NULL, "file:" NO_DIRECT, NULL, "{}");
    wait_for_migration_status(args.from, "failed", none);
    wait_running(args.from);
    /* And the same guest can be saved. */
    frt_save(&args);
    frt_end(&args);
}

static void test_cancel(unsigned save)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(save);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_set_mode(args.from, save);
    migrate_set_parameter_int(args.from, "max-bandwidth", CRAWLING);
    for (int i = 0; i < ROUNDS; i++) {
        migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
        if (i % 2) {
            g_usleep(g_rand_int_range(rand, 0, CANCEL_USEC));
        }
        migrate_cancel(args.from);
        wait_for_migration_status(args.from, "cancelled", none);
    }
    wait_running(args.from);
    frt_save(&args);
    frt_end(&args);
}

static void test_cancel_multifd(void)
{
    test_cancel(FR_FIXED | FR_MULTIFD);
}

static void test_cancel_mapped_multifd(void)
{
    test_cancel(FR_MAPPED | FR_MULTIFD);
}

/* The number of channels changes: the next save has so many. */
static void test_channels(unsigned save, int channels)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    for (int i = 0; i < 2; i++) {
        frt_save_begin(&args, args.uri);
        migrate_set_parameter_int(args.from, "multifd-channels", channels);
        if (i == 1) {
            frt_wait_rounds(args.from, 2);
        }
        migrate_cancel(args.from);
        wait_for_migration_status(args.from, "cancelled", NULL);
        wait_running(args.from);
    }
    frt_save(&args);
    frt_end(&args);
}

static void test_channels_more(void)
{
    test_channels(FR_MAPPED | FR_MULTIFD, 200);
}

static void test_channels_fewer(void)
{
    test_channels(FR_FIXED | FR_MULTIFD, 1);
}

/*
 * A load with the base's receiving threads.  The commands are sent at once, so
 * that they are handled before the load begins, or while it runs.
 */
static void test_load(const char *command)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED | FR_MULTIFD,
        .load = FR_MAPPED | FR_MULTIFD,
    };
    QDict *response;

    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, args.load);
    qtest_qmp_send(args.to, "{ 'execute': 'migrate-incoming', "
                   "'arguments': { 'uri': %s } }", args.uri);
    qtest_qmp_send_raw(args.to, "%s", command);
    response = qtest_qmp_receive(args.to);
    g_assert_true(qdict_haskey(response, "return"));
    qobject_unref(response);
    response = qtest_qmp_receive(args.to);
    g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(response, "error"),
                                          "desc"),
                            "cannot be changed during an incoming migration"));
    qobject_unref(response);
    wait_for_migration_complete(args.to);
    frt_compare(&args);
    frt_end(&args);
}

static void test_load_mapped_off(void)
{
    test_load("{ \"execute\": \"migrate-set-capabilities\", \"arguments\": "
              "{ \"capabilities\": [ { \"capability\": \"mapped-ram\", "
              "\"state\": false } ] } }");
}

static void test_load_multifd_off(void)
{
    test_load("{ \"execute\": \"migrate-set-capabilities\", \"arguments\": "
              "{ \"capabilities\": [ { \"capability\": \"multifd\", "
              "\"state\": false } ] } }");
}

static void test_load_channels(void)
{
    test_load("{ \"execute\": \"migrate-set-parameters\", \"arguments\": "
              "{ \"multifd-channels\": 1 } }");
}

/* Such a save held no page and said that it was complete. */
static void test_background(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
    };

    if (!frt_start(&args)) {
        return;
    }
    /* Where the host lacks write tracking, that is the reason. */
    frt_assert_refused(args.from, "ackground-snapshot",
                       "{ 'execute': 'migrate-set-capabilities', "
                       "'arguments': { 'capabilities': [ "
                       "{ 'capability': 'mapped-ram', 'state': true }, "
                       "{ 'capability': 'background-snapshot', "
                       "'state': true } ] } }");
    frt_fill(&args);
    frt_save(&args);
    frt_end(&args);
}

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
 * Without fixed-ram a save by mapped-ram is that of the base: QEMU does not
 * lock the file, and adds nothing to it.
 */
static void test_off(void)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = NULL;
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .live = true,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_save_begin(&args, args.uri);
    assert_unlocked(path);
    migrate_cancel(args.from);
    wait_for_migration_status(args.from, "cancelled", NULL);
    wait_running(args.from);
    frt_save(&args);
    s = snapshot_open(path, 0);
    snapshot_check_no_index(s);
    g_assert_cmpuint(s->end, ==, s->size);
    g_assert_false(snapshot_has_capability(s, "fixed-ram"));
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "no-channel", test_no_channel },
    { "no-channel-mapped", test_no_channel_mapped },
    { "cancel-multifd", test_cancel_multifd },
    { "cancel-mapped-multifd", test_cancel_mapped_multifd, true },
    { "channels-more", test_channels_more },
    { "channels-fewer", test_channels_fewer, true },
    { "load-mapped-ram-off", test_load_mapped_off },
    { "load-multifd-off", test_load_multifd_off, true },
    { "load-channels", test_load_channels, true },
    { "background-snapshot", test_background, true },
    { "off", test_off, true },
};

void frt_add_save_early_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "save-early", cases, ARRAY_SIZE(cases));
}
