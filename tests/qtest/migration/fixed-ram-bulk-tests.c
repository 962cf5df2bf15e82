/*
 * QTest testcases for fixed-ram: a stopped guest saved in bulk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Each save of a stopped guest with fixed-ram, in any scenario, goes in bulk
 * and is compared with the guest's memory.  Here it is compared with what
 * mapped-ram saves, over all kinds of memory, and disturbed.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define WAIT_SECONDS    240
/* What a slow save does in some seconds, and what would take hours. */
#define SLOW            (24 * MiB)
#define CRAWLING        (4 * KiB)

/* The same RAM, and the same pages of it are in the file. */
static void assert_same(const Snapshot *want, const Snapshot *have)
{
    snapshot_assert_same_ram(want, have);
    g_assert_cmpuint(want->blocks->len, ==, have->blocks->len);
    for (guint i = 0; i < want->blocks->len; i++) {
        const SnapshotBlock *a = &g_array_index(want->blocks, SnapshotBlock,
                                                i);
        const SnapshotBlock *b = &g_array_index(have->blocks, SnapshotBlock,
                                                i);
        size_t bytes = DIV_ROUND_UP(a->length, SNAPSHOT_PAGE_SIZE * 64) * 8;

        g_assert_cmpmem(a->bitmap, bytes, b->bitmap, bytes);
    }
}

/* What mapped-ram makes of it, once it has been loaded. */
static void compare_with_base(FixedRamTest *t)
{
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autofree char *base = fixed_ram_path("again");
    g_autoptr(Snapshot) ours = NULL, theirs = NULL;

    fixed_ram_load(t);
    fixed_ram_check(t);
    ours = snapshot_open(path, t->offset);
    theirs = snapshot_open(base, 0);
    assert_same(theirs, ours);
}

/*
 * Every other page of it is zero.  In bulk these are not left out, so that it
 * has no holes; else it may have, if the file system likes.
 */
static void assert_bulk(FixedRamTest *t)
{
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = snapshot_open(path, t->offset);
    const SnapshotBlock *block = fixed_ram_pattern_block(t, s);
    uint64_t offset = t->pattern_block ? t->pattern_offset : PATTERN_START;
    int fd = open(path, O_RDONLY);

    g_assert_cmpint(fd, >=, 0);
    offset += block->pages_offset;
    g_assert_cmpint(lseek(fd, offset, SEEK_HOLE), >=,
                    offset + MiB - SNAPSHOT_PAGE_SIZE);
    close(fd);
}

static void test_as_base(FixedRamTest *t)
{
    if (fixed_ram_start(t)) {
        fixed_ram_fill(t);
        fixed_ram_save(t);
        assert_bulk(t);
        compare_with_base(t);
        fixed_ram_end(t);
    }
}

static void test_plain(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_MAPPED,
        .stock_load = true,
    };

    test_as_base(&args);
}

/* Mapped-ram would need multifd for that. */
static void test_direct(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
        .load = FR_MAPPED,
        .offset = FILE_TEST_OFFSET,
        .stock_load = true,
    };

    test_as_base(&args);
}

static void test_multifd(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
        .load = FR_DEMAND,
    };

    test_as_base(&args);
}

static void test_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .load = FR_MAPPED | FR_MULTIFD,
        .stock_load = true,
    };

    test_as_base(&args);
}

static void test_fdset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_DIRECT,
        .load = FR_DEMAND,
        .fds = 2,
    };

    test_as_base(&args);
}

/*
 * Kinds of memory
 */

/* Bytes of memory that the process has. */
static uint64_t resident(QTestState *who)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            (int)qtest_pid(who));
    g_autofree char *status = NULL;
    const char *line;
    unsigned long kib;

    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    line = strstr(status, "VmRSS:");
    g_assert_nonnull(line);
    g_assert_cmpint(sscanf(line, "VmRSS: %lu", &kib), ==, 1);
    return kib * KiB;
}

/* A file that is not empty; the guest sees it and writes over some of it. */
static void make_backend_file(void)
{
    g_autofree char *path = fixed_ram_shm_path();
    g_autofree uint8_t *content = g_malloc0(36 * MiB);

    for (size_t i = 0; i < 36 * MiB; i += 3 * SNAPSHOT_PAGE_SIZE) {
        memset(content + i, 1 + i / MiB, SNAPSHOT_PAGE_SIZE);
    }
    g_assert_true(g_file_set_contents(path, (char *)content, 36 * MiB, NULL));
}

/* The guest uses the first one and the pattern is in the second one. */
#define NODES \
    "-m %s -smp 3 -numa node,memdev=mem0,cpus=0 " \
    "-numa node,memdev=mem1,cpus=1 -numa node,memdev=mem2,cpus=2"
#define BACKENDS \
    "-object memory-backend-ram,id=mem0,size=60M " \
    "-object memory-backend-memfd,id=mem1,size=54M,share=%s " \
    "-object memory-backend-file,id=mem2,size=36M,mem-path=%s,share=%s"

static void test_backends(const char *shared)
{
    g_autofree char *path = fixed_ram_shm_path();
    g_autofree char *opts = g_strdup_printf(BACKENDS, shared, path, shared);
    FixedRamTest args = {
        .start.memory_backend = NODES,
        .start.opts_source = opts,
        .start.opts_target = "-object memory-backend-ram,id=mem0,size=60M "
                             "-object memory-backend-ram,id=mem1,size=54M "
                             "-object memory-backend-ram,id=mem2,size=36M",
        .save = FR_FIXED | FR_DIRECT,
        .load = FR_DEMAND,
        .pattern_block = "mem1",
        .pattern_offset = 44 * MiB,
    };

    make_backend_file();
    if (!fixed_ram_start(&args)) {
        fixed_ram_remove_files(NULL);
        return;
    }
    fixed_ram_fill(&args);
    fixed_ram_save(&args);
    compare_with_base(&args);
    fixed_ram_end(&args);
}

static void test_backends_shared(void)
{
    test_backends("on");
}

static void test_backends_private(void)
{
    test_backends("off");
}

#define LARGE \
    "-m 6G -smp 2 " \
    "-numa node,memdev=mem0,cpus=0 -numa node,memdev=mem1,cpus=1 " \
    "-object memory-backend-ram,id=mem0,size=3G,reserve=off " \
    "-object memory-backend-memfd,id=mem1,size=3G,share=on,reserve=off"

/* What was never touched is not touched now. */
static void test_untouched(void)
{
    FixedRamTest args = {
        .start.opts_source = LARGE,
        .save = FR_FIXED,
    };
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = NULL;
    uint64_t before;

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    before = resident(args.from);
    fixed_ram_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_complete(args.from);
    g_assert_cmpuint(resident(args.from), <, before + 100 * MiB);
    s = snapshot_open(path, 0);
    snapshot_check_index(s, true);
    g_assert_cmpuint(snapshot_data(s), <, 200 * MiB);
    fixed_ram_end(&args);
}

#define BALLOON "-device virtio-balloon-pci,id=balloon0,addr=9"
#define INFLATED                (PATTERN_START + 6 * MiB)
#define INFLATED_PAGES          100

/* What has been given back is zero, and is not taken again. */
static void test_balloon(void)
{
    FixedRamTest args = {
        .start.memory_backend = "-m %s -machine memory-backend=pc.ram -object "
            "memory-backend-memfd,id=pc.ram,size=150M,share=on,"
            "x-use-canonical-path-for-ramblock-id=off",
        .start.opts_source = BALLOON,
        .start.opts_target = BALLOON,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = NULL;
    uint64_t first = INFLATED / SNAPSHOT_PAGE_SIZE;
    uint64_t before;
    FixedRamDriver d;

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    fixed_ram_driver_start(&d, args.from, 0, 2);
    for (unsigned i = 0; i < INFLATED_PAGES; i++) {
        qtest_writel(args.from, d.page, first + i);
        fixed_ram_driver_send(&d, 0, d.page, 4, false);
    }
    fixed_ram_driver_end(&d);
    before = resident(args.from);
    fixed_ram_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_complete(args.from);
    g_assert_cmpuint(resident(args.from), <, before + 100 * MiB);
    s = snapshot_open(path, 0);
    for (unsigned i = 0; i < INFLATED_PAGES; i++) {
        const SnapshotBlock *block = snapshot_largest_block(s);

        g_assert_false(block->bitmap[(first + i) / 64] >> (first + i) % 64 & 1);
    }
    snapshot_check_index(s, true);
    compare_with_base(&args);
    fixed_ram_end(&args);
}

/*
 * Saves that are disturbed
 */

static void begin_slowly(FixedRamTest *t, uint64_t bandwidth)
{
    fixed_ram_set_mode(t->from, t->save);
    migrate_set_parameter_int(t->from, "max-bandwidth", bandwidth);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
}

static void wait_transferred(QTestState *who, uint64_t bytes)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    bool there = false;

    while (!there) {
        QDict *info = migrate_query_not_failed(who);
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
static bool writes_directly(QTestState *who)
{
    g_autofree char *snapshot = fixed_ram_path(FILE_TEST_FILENAME);
    g_autofree char *fds = g_strdup_printf("/proc/%d/fd",
                                           (int)qtest_pid(who));
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

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    begun = g_get_monotonic_time();
    begin_slowly(&args, SLOW);
    wait_transferred(args.from, SLOW);
    g_assert_cmpint(g_get_monotonic_time() - begun, >, G_USEC_PER_SEC / 2);
    g_assert_true(writes_directly(args.from));
    remaining = fixed_ram_ram_figure(args.from, "remaining");
    g_assert_cmpint(remaining, >, 0);
    wait_transferred(args.from, 2 * SLOW);
    g_assert_cmpint(fixed_ram_ram_figure(args.from, "remaining"), <,
                    remaining);
    info = migrate_query(args.from);
    g_assert_cmpstr(qdict_get_str(info, "status"), ==, "active");
    g_assert_cmpfloat(qdict_get_double(qdict_get_qdict(info, "ram"), "mbps"),
                      >, 0);
    qobject_unref(info);
    save_the_rest(&args);
    pages = fixed_ram_ram_figure(args.from, "normal") +
            fixed_ram_ram_figure(args.from, "duplicate");
    total = fixed_ram_ram_figure(args.from, "total");
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, >=, total);
    /* None of them twice; a device may have written to a few. */
    g_assert_cmpint(pages * SNAPSHOT_PAGE_SIZE, <, total + total / 8);
    g_assert_cmpint(fixed_ram_ram_figure(args.from, "remaining"), ==, 0);
    fixed_ram_check_saved(&args);
    fixed_ram_end(&args);
}

/* A limit that is lifted is lifted at once. */
static void test_bandwidth(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    begin_slowly(&args, CRAWLING);
    wait_for_migration_status(args.from, "active", NULL);
    save_the_rest(&args);
    fixed_ram_check_saved(&args);
    fixed_ram_end(&args);
}

static void cancel(FixedRamTest *t)
{
    migrate_cancel(t->from);
    wait_for_migration_status(t->from, "cancelled", NULL);
    g_assert_cmpuint(fixed_ram_superblock(FILE_TEST_FILENAME).state, ==,
                     SUPERBLOCK_BEING_WRITTEN);
}

static void test_cancel(unsigned save)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(save);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
    };

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
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
    fixed_ram_save(&args);
    assert_bulk(&args);
    fixed_ram_end(&args);
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

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = 20 * MiB,
        .end = 100 * MiB,
    });
    fixed_ram_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    fixed_ram_faults_wait_hanging(0, 1);
    migrate_cancel(args.from);
    for (int i = 0; i < 20; i++) {
        g_assert_false(fixed_ram_running(args.from));
        g_usleep(20000);
    }
    fixed_ram_faults_off(0);
    wait_for_migration_status(args.from, "cancelled", NULL);
    fixed_ram_save(&args);
    fixed_ram_faults_end(&args);
}

static void test_no_space(unsigned save)
{
    static const char *const completed[] = { "completed", NULL };
    g_autoptr(GRand) rand = g_rand_new_with_seed(save);
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    for (int i = 0; i < 5; i++) {
        QDict *info;
        const char *desc;

        /* Rounded to what a direct write may be cut to. */
        fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
            .mode = FIXED_RAM_FAULTS_WRITE_FULL,
            .error = ENOSPC,
            .first = g_rand_int_range(rand, 2 * 256, 100 * 256) *
                     SNAPSHOT_PAGE_SIZE,
            .end = 150 * MiB,
        });
        fixed_ram_set_mode(args.from, args.save);
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
        g_assert_cmpuint(fixed_ram_superblock(FILE_TEST_FILENAME).state, ==,
                         SUPERBLOCK_BEING_WRITTEN);
        fixed_ram_faults_off(0);
    }
    fixed_ram_save(&args);
    fixed_ram_faults_end(&args);
}

static void test_no_space_plain(void)
{
    test_no_space(FR_FIXED);
}

static void test_no_space_direct(void)
{
    test_no_space(FR_FIXED | FR_DIRECT);
}

/* Somebody lets the guest go on: what has changed since comes again. */
static void test_go_on(unsigned save, uint64_t after)
{
    FixedRamTest args = {
        .save = save,
    };

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    begin_slowly(&args, SLOW);
    wait_transferred(args.from, after);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    /* Both where it has been and where it has not. */
    qtest_memset(args.from, PATTERN_START, 0x77, PATTERN_BYTES);
    qtest_memset(args.from, 0x200000, 0x78, MiB);
    fixed_ram_write_pattern(args.from);
    wait_transferred(args.from, after + SLOW / 4);
    save_the_rest(&args);
    fixed_ram_check_saved(&args);
    fixed_ram_end(&args);
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
    { "bulk/plain", test_plain },
    { "bulk/direct", test_direct },
    { "bulk/multifd", test_multifd, true },
    { "bulk/multifd-dio", test_multifd_dio },
    { "bulk/fdset", test_fdset, true },
    { "bulk/backends-shared", test_backends_shared },
    { "bulk/backends-private", test_backends_private },
    { "bulk/untouched", test_untouched },
    { "bulk/balloon", test_balloon },
    { "bulk/progress", test_progress },
    { "bulk/bandwidth", test_bandwidth },
    { "bulk/cancel", test_cancel_plain },
    { "bulk/cancel-multifd-dio", test_cancel_multifd_dio, true },
    { "bulk/cancel-hanging", test_cancel_hanging },
    { "bulk/no-space", test_no_space_plain },
    { "bulk/no-space-direct", test_no_space_direct, true },
    { "bulk/go-on-early", test_go_on_early, true },
    { "bulk/go-on-late", test_go_on_late },
    { "bulk/go-on-multifd-dio", test_go_on_multifd_dio, true },
};

void fixed_ram_add_bulk_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}
