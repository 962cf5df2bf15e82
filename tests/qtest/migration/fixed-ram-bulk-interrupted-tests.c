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
/* Bytes a second: some seconds for a save, and hours. */
#define SLOW            (24 * MiB)
#define CRAWLING        (4 * KiB)
/* The guest's memory is smaller, so pages of all its blocks lie before this. */
#define PAGES_END       (150 * MiB)

/*
 * The downtime limit keeps the save from its last phase, in which the migration
 * thread holds the big lock, until there is next to nothing left to write.
 */
static void begin_save(FixedRamTest *t, uint64_t bandwidth)
{
    frt_set_mode(t->from, t->save);
    migrate_set_parameter_int(t->from, "downtime-limit", 1);
    migrate_set_parameter_int(t->from, "max-bandwidth", bandwidth);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
}

/* From now on writes of pages behind @offset in the file hang. */
static void hold_writes(unsigned rule, uint64_t offset)
{
    frt_faults_set(rule, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = offset,
        .end = PAGES_END,
    });
}

/* A save that has written most of what lies before @offset, and waits there. */
static void begin_held(FixedRamTest *t, uint64_t offset)
{
    hold_writes(0, offset);
    begin_save(t, 0);
    frt_faults_wait_hanging(0, 1);
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

static void wait_remaining_below(QTestState *qts, int64_t bytes)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (frt_ram_figure(qts, "remaining") >= bytes) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

static void assert_active(QTestState *qts)
{
    QDict *info = migrate_query(qts);

    g_assert_cmpstr(qdict_get_str(info, "status"), ==, "active");
    g_assert_cmpint(qdict_get_int(qdict_get_qdict(info, "ram"), "remaining"),
                    >, 0);
    qobject_unref(info);
}

static void save_the_rest(FixedRamTest *t)
{
    migrate_ensure_converge(t->from);
    frt_wait_saved(t->from);
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

/* What query-migrate says during a save, and after it. */
static void test_progress(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
    };
    int64_t remaining, pages, total;
    QDict *info;

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    hold_writes(1, 60 * MiB);
    begin_held(&args, 20 * MiB);
    g_assert_true(writes_directly(args.from));
    wait_transferred(args.from, MiB);
    assert_active(args.from);
    remaining = frt_ram_figure(args.from, "remaining");
    frt_faults_off(0);
    frt_faults_wait_hanging(1, 1);
    wait_remaining_below(args.from, remaining);
    assert_active(args.from);
    frt_faults_off(1);
    save_the_rest(&args);
    pages = frt_ram_figure(args.from, "normal") +
            frt_ram_figure(args.from, "duplicate");
    total = frt_ram_figure(args.from, "total");
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, >=, total);
    /* No page was saved twice, but for a few that a device has written to. */
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, <, total + total / 8);
    g_assert_cmpint(frt_ram_figure(args.from, "remaining"), ==, 0);
    info = migrate_query(args.from);
    g_assert_cmpfloat(qdict_get_double(qdict_get_qdict(info, "ram"), "mbps"),
                      >, 0);
    qobject_unref(info);
    frt_check_saved(&args);
    frt_faults_end(&args);
}

/* Number of threads that write. */
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

static void wait_workers(QTestState *qts, unsigned number)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (count_workers(qts) != number) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

/*
 * A device_add that fails drains RCU: it returns when each thread has left its
 * read section.
 */
static void drain_rcu(QTestState *qts)
{
    frt_assert_refused(qts, "migrat", "{ 'execute': 'device_add', "
                       "'arguments': { 'driver': 'virtio-rng-pci' } }");
}

/*
 * The limit holds a save back, which does not keep other commands from their
 * answer.  A limit that is lifted is lifted at once: the rest would take hours.
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
    wait_workers(args.from, 5);
    wait_transferred(args.from, 1);
    /* A save without a limit would be over before the last of these. */
    for (int i = 0; i < 20; i++) {
        drain_rcu(args.from);
        assert_active(args.from);
        g_usleep(20000);
    }
    save_the_rest(&args);
    frt_check_saved(&args);
    frt_end(&args);
}

/* Writes that hang go on, and the save ends nevertheless. */
static void cancel(FixedRamTest *t)
{
    migrate_cancel(t->from);
    frt_faults_off(0);
    wait_for_migration_status(t->from, "cancelled", NULL);
    frt_assert_being_written(FILE_TEST_FILENAME);
}

/*
 * Cancel at random moments.  Writes behind 90 MiB hang, so no save completes
 * before.
 */
static void test_cancel(unsigned save)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(save);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    for (int i = 0; i < 5; i++) {
        hold_writes(0, 90 * MiB);
        begin_save(&args, i % 2 ? 2 * SLOW : SLOW);
        wait_transferred(args.from, g_rand_int_range(rand, 1, 30 * MiB));
        cancel(&args);
    }
    /* Its threads wait for the limit, not for a write. */
    begin_save(&args, CRAWLING);
    wait_transferred(args.from, 1);
    cancel(&args);
    frt_save(&args);
    frt_faults_end(&args);
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
    begin_held(&args, 20 * MiB);
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

        /* A direct write can only be cut at a multiple of a page. */
        frt_faults_set(0, &(FixedRamFaultsRule) {
            .mode = FIXED_RAM_FAULTS_WRITE_FULL,
            .error = ENOSPC,
            .first = g_rand_int_range(rand, 2 * 256, 100 * 256) *
                     SNAPSHOT_PAGE_SIZE,
            .end = PAGES_END,
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

/* Write where the save has been, and where it has not. */
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

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    begin_held(&args, 2 * SLOW);
    write_memory(&args);
    frt_faults_off(0);
    save_the_rest(&args);
    frt_check_saved(&args);
    frt_faults_end(&args);
}

/*
 * A reset completes the unplugging of a card.  The memory of its ROM goes too,
 * and is saved last: the save fails.
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

    /* Without the kernel's page map all memory is read. */
    g_setenv("QEMU_FIXED_RAM_NO_PAGEMAP", "1", true);
    started = frt_faults_begin_save(&args);
    g_unsetenv("QEMU_FIXED_RAM_NO_PAGEMAP");
    if (!started) {
        return;
    }
    qtest_qmp_assert_success(args.from, "{ 'execute': 'device_del', "
                             "'arguments': { 'id': 'card' } }");
    begin_held(&args, SLOW / 2);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(args.from, "DEVICE_DELETED");
    /* Its memory goes when no thread uses the old memory map any more. */
    drain_rcu(args.from);
    frt_faults_off(0);
    wait_for_migration_status(args.from, "failed", (const char **)none);
    frt_assert_being_written(FILE_TEST_FILENAME);
    frt_save(&args);
    frt_faults_end(&args);
}

/* The guest goes on during the save: what it changes is saved again. */
static void test_go_on(unsigned save, uint64_t after)
{
    FixedRamTest args = {
        .save = save,
    };

    if (!frt_faults_begin_save(&args)) {
        return;
    }
    begin_held(&args, after);
    migrate_set_parameter_int(args.from, "max-bandwidth", SLOW);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    write_memory(&args);
    frt_faults_off(0);
    wait_transferred(args.from, after + SLOW / 4);
    save_the_rest(&args);
    frt_check_saved(&args);
    frt_faults_end(&args);
}

static void test_go_on_early(void)
{
    test_go_on(FR_FIXED, 2 * MiB);
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
