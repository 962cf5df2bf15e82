/*
 * QTest testcases for fixed-ram: what happens to a save in bulk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define WAIT_SECONDS    240
/* What a slow save does in some seconds, and what would take hours. */
#define SLOW            (24 * MiB)
#define CRAWLING        (4 * KiB)

static void begin_slowly(FixedRamTest *t, uint64_t bandwidth)
{
    frt_set_mode(t->from, t->save);
    migrate_set_parameter_int(t->from, "max-bandwidth", bandwidth);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
}

static void wait_transferred(QTestState *qts, uint64_t bytes)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    bool there = false;

    while (!there) {
        QDict *info = migrate_query_not_failed(qts);
        QDict *ram = qdict_get_qdict(info, "ram");

        there = ram && qdict_get_int(ram, "transferred") >= bytes;
        qobject_unref(info);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

static void save_the_rest(FixedRamTest *t)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    bool over = false;

    migrate_ensure_converge(t->from);
    wait_for_migration_complete(t->from);
    while (!over) {
        QDict *status = qtest_qmp_assert_success_ref(
            t->from, "{ 'execute': 'query-status' }");

        over = g_str_equal(qdict_get_str(status, "status"), "postmigrate");
        qobject_unref(status);
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

/* Whether it has the snapshot open with O_DIRECT. */
static bool writes_directly(QTestState *qts)
{
    g_autofree char *snapshot = frt_path(FILE_TEST_FILENAME);
    g_autofree char *fds = g_strdup_printf("/proc/%d/fd",
                                           (int)qtest_pid(qts));
    GDir *dir = g_dir_open(fds, 0, NULL);
    const char *fd;
    bool found = false;

    g_assert_nonnull(dir);
    while (!found && (fd = g_dir_read_name(dir))) {
        g_autofree char *link = g_build_filename(fds, fd, NULL);
        g_autofree char *target = g_file_read_link(link, NULL);
        g_autofree char *path = g_strdup_printf("%sinfo/%s", fds, fd);
        g_autofree char *info = NULL;
        unsigned flags;

        if (g_strcmp0(target, snapshot) == 0 &&
            g_file_get_contents(path, &info, NULL, NULL)) {
            g_assert_cmpint(sscanf(strstr(info, "flags:"), "flags: %o",
                                   &flags), ==, 1);
            found = flags & O_DIRECT;
        }
    }
    g_dir_close(dir);
    return found;
}

/* What query-migrate says meanwhile, and that it takes its time. */
static void test_progress(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
    };
    gint64 begun = g_get_monotonic_time();
    int64_t remaining, pages, total;
    QDict *info;

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    begun = g_get_monotonic_time();
    begin_slowly(&args, SLOW);
    wait_transferred(args.from, SLOW);
    g_assert_cmpint(g_get_monotonic_time() - begun, >, G_USEC_PER_SEC / 2);
    g_assert_true(writes_directly(args.from));
    remaining = frt_ram_figure(args.from, "remaining");
    g_assert_cmpint(remaining, >, 0);
    wait_transferred(args.from, 2 * SLOW);
    g_assert_cmpint(frt_ram_figure(args.from, "remaining"), <,
                    remaining);
    info = migrate_query(args.from);
    g_assert_cmpstr(qdict_get_str(info, "status"), ==, "active");
    g_assert_cmpfloat(qdict_get_double(qdict_get_qdict(info, "ram"), "mbps"),
                      >, 0);
    qobject_unref(info);
    save_the_rest(&args);
    pages = frt_ram_figure(args.from, "normal") +
            frt_ram_figure(args.from, "duplicate");
    total = frt_ram_figure(args.from, "total");
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, >=, total);
    /* None of them twice; a device may have written to a few. */
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, <, total + total / 8);
    g_assert_cmpint(frt_ram_figure(args.from, "remaining"), ==, 0);
    frt_check_saved(&args);
    frt_end(&args);
}

/* How many threads write. */
static unsigned count_workers(QTestState *qts)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task",
                                             (int)qtest_pid(qts));
    GDir *dir = g_dir_open(tasks, 0, NULL);
    const char *task;
    unsigned found = 0;

    g_assert_nonnull(dir);
    while ((task = g_dir_read_name(dir))) {
        g_autofree char *path = g_strdup_printf("%s/%s/comm", tasks, task);
        g_autofree char *name = NULL;

        found += g_file_get_contents(path, &name, NULL, NULL) &&
                 g_str_equal(name, "fixed-ram/save\n");
    }
    g_dir_close(dir);
    return found;
}

/*
 * While nothing moves other commands are answered, also those that wait for
 * who is in a read section of RCU.  A limit that is lifted is lifted at once.
 */
static void test_bandwidth(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_set_mode(args.from, args.save);
    migrate_set_parameter_int(args.from, "max-bandwidth", CRAWLING);
    migrate_set_parameter_int(args.from, "multifd-channels", 5);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_status(args.from, "active", NULL);
    /* Until zeros are done with: they cost no bandwidth. */
    g_usleep(G_USEC_PER_SEC);
    g_assert_cmpuint(count_workers(args.from), ==, 5);
    frt_assert_refused(args.from, "migrat", "{ 'execute': 'device_add', "
                       "'arguments': { 'driver': 'virtio-rng-pci' } }");
    save_the_rest(&args);
    frt_check_saved(&args);
    frt_end(&args);
}

static void cancel(FixedRamTest *t)
{
    migrate_cancel(t->from);
    wait_for_migration_status(t->from, "cancelled", NULL);
    frt_assert_being_written(FILE_TEST_FILENAME);
}

static void test_cancel(unsigned save)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(save);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    for (int i = 0; i < 5; i++) {
        begin_slowly(&args, i % 2 ? 2 * SLOW : SLOW);
        wait_transferred(args.from, g_rand_int_range(rand, 1, 30 * MiB));
        cancel(&args);
    }
    /* Nothing is written for minutes, once it has got there. */
    begin_slowly(&args, CRAWLING);
    wait_for_migration_status(args.from, "active", NULL);
    g_usleep(G_USEC_PER_SEC / 2);
    cancel(&args);
    frt_save(&args);
    frt_end(&args);
}

static void test_cancel_plain(void)
{
    test_cancel(FR_FIXED);
}

static void test_cancel_multifd_dio(void)
{
    test_cancel(FR_FIXED | FR_MULTIFD | FR_DIRECT);
}

/* The disk hangs: QEMU answers all the same, and the save ends with it. */
static void test_cancel_hanging(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED | FR_DIRECT,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    frt_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = 20 * MiB,
        .end = 100 * MiB,
    });
    frt_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    frt_faults_wait_hanging(0, 1);
    migrate_cancel(args.from);
    for (int i = 0; i < 20; i++) {
        g_assert_false(frt_running(args.from));
        g_usleep(20000);
    }
    frt_faults_off(0);
    wait_for_migration_status(args.from, "cancelled", NULL);
    frt_save(&args);
    frt_faults_end(&args);
}

static void test_no_space(unsigned save)
{
    static const char *const completed[] = { "completed", NULL };
    g_autoptr(GRand) rand = g_rand_new_with_seed(save);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    for (int i = 0; i < 5; i++) {
        QDict *info;
        const char *desc;

        /* Rounded to what a direct write may be cut to. */
        frt_faults_set(0, &(FixedRamFaultsRule) {
            .mode = FIXED_RAM_FAULTS_WRITE_FULL,
            .error = ENOSPC,
            .first = g_rand_int_range(rand, 2 * 256, 100 * 256) *
                     SNAPSHOT_PAGE_SIZE,
            .end = 150 * MiB,
        });
        frt_set_mode(args.from, args.save);
        migrate_ensure_converge(args.from);
        migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
        wait_for_migration_status(args.from, "failed",
                                  (const char **)completed);
        info = migrate_query(args.from);
        desc = qdict_get_str(info, "error-desc");
        g_assert_nonnull(strstr(desc, FILE_TEST_FILENAME "': block '"));
        g_assert_nonnull(strstr(desc, "' offset 0x"));
        g_assert_nonnull(strstr(desc, "No space left on device"));
        qobject_unref(info);
        frt_assert_being_written(FILE_TEST_FILENAME);
        frt_faults_off(0);
    }
    frt_save(&args);
    frt_faults_end(&args);
}

static void test_no_space_plain(void)
{
    test_no_space(FR_FIXED);
}

static void test_no_space_direct(void)
{
    test_no_space(FR_FIXED | FR_DIRECT);
}

/* Both where it has been and where it has not. */
static void write_memory(FixedRamTest *t)
{
    qtest_memset(t->from, PATTERN_START, 0x77, PATTERN_BYTES);
    qtest_memset(t->from, 0x200000, 0x78, MiB);
    frt_write_pattern(t->from);
}

/* A device writes, though the guest stays stopped. */
static void test_written(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    begin_slowly(&args, SLOW);
    wait_transferred(args.from, 2 * SLOW);
    write_memory(&args);
    save_the_rest(&args);
    frt_check_saved(&args);
    frt_end(&args);
}

/*
 * A card that the guest was asked to let go goes with a reset, and with it the
 * memory of its ROM, which is saved last.  The save may fail then.
 */
static void test_unplugged(void)
{
    static const char *const none[] = { NULL };
    FixedRamTest args = {
        .start.opts_source = "-device virtio-net-pci,id=card,addr=9",
        .start.hide_stderr = true,
        .save = FR_FIXED,
    };
    bool started;

    /* Who asks for nothing reads all of it. */
    g_setenv("FIXED_RAM_NO_PAGEMAP", "1", true);
    started = frt_start(&args);
    g_unsetenv("FIXED_RAM_NO_PAGEMAP");
    if (!started) {
        return;
    }
    frt_fill(&args);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'device_del', "
                             "'arguments': { 'id': 'card' } }");
    begin_slowly(&args, SLOW);
    wait_transferred(args.from, SLOW / 2);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(args.from, "DEVICE_DELETED");
    /* Its memory goes a little later. */
    g_usleep(G_USEC_PER_SEC);
    migrate_ensure_converge(args.from);
    wait_for_migration_status(args.from, "failed", (const char **)none);
    frt_assert_being_written(FILE_TEST_FILENAME);
    frt_save(&args);
    frt_end(&args);
}

/* Somebody lets the guest go on: what has changed since comes again. */
static void test_go_on(unsigned save, uint64_t after)
{
    FixedRamTest args = {
        .save = save,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    begin_slowly(&args, SLOW);
    wait_transferred(args.from, after);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    write_memory(&args);
    wait_transferred(args.from, after + SLOW / 4);
    save_the_rest(&args);
    frt_check_saved(&args);
    frt_end(&args);
}

static void test_go_on_early(void)
{
    test_go_on(FR_FIXED, 1);
}

static void test_go_on_multifd_dio(void)
{
    test_go_on(FR_FIXED | FR_MULTIFD | FR_DIRECT, 30 * MiB);
}

static void test_go_on_late(void)
{
    test_go_on(FR_FIXED | FR_DIRECT, 80 * MiB);
}

static const FixedRamCase cases[] = {
    { "progress", test_progress },
    { "bandwidth", test_bandwidth },
    { "cancel", test_cancel_plain },
    { "cancel-multifd-dio", test_cancel_multifd_dio, true },
    { "cancel-hanging", test_cancel_hanging },
    { "no-space", test_no_space_plain },
    { "no-space-direct", test_no_space_direct, true },
    { "written", test_written },
    { "unplugged", test_unplugged },
    { "go-on-early", test_go_on_early, true },
    { "go-on-late", test_go_on_late },
    { "go-on-multifd-dio", test_go_on_multifd_dio, true },
};

void frt_add_bulk_interrupted_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "bulk-interrupted", cases, ARRAY_SIZE(cases));
}
