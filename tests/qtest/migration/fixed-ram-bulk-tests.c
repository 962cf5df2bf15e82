/*
 * QTest testcases for fixed-ram: a stopped guest saved in bulk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * All scenarios save a stopped guest in bulk, and compare the snapshot with the
 * guest's memory.  These tests compare it with what mapped-ram saves, for all
 * kinds of memory.
 */

#include "qemu/osdep.h"
#include <sys/utsname.h>
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-driver.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Load the snapshot and save the guest with mapped-ram. */
static void compare_with_base(FixedRamTest *t)
{
    g_autofree char *base = frt_path("again");
    g_autoptr(Snapshot) ours = NULL, theirs = NULL;

    frt_load(t);
    frt_check(t);
    ours = frt_open_snapshot(t);
    theirs = snapshot_open(base, 0);
    snapshot_assert_same_ram(theirs, ours);
    snapshot_assert_same_bitmaps(theirs, ours);
}

/*
 * Every other page of this part is zero.  A bulk save writes these pages too,
 * so the file has no holes there.  Other saves leave holes.
 */
static void assert_bulk(FixedRamTest *t)
{
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = snapshot_open(path, t->offset);
    const SnapshotBlock *block = frt_pattern_block(t, s);
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
    if (frt_start(t)) {
        migrate_set_parameter_str(t->from, "fixed-ram-verify",
                                  t->no_sums ? "off" : "on");
        frt_fill(t);
        frt_save(t);
        assert_bulk(t);
        compare_with_base(t);
        frt_end(t);
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

/* mapped-ram uses direct I/O only with multifd. */
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

/* There are no checksums; the rest is the same. */
static void test_no_sums(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .load = FR_MAPPED,
        .no_sums = true,
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

/*
 * If the kernel does not tell which shared memory is populated, all of it is
 * read.
 */
static bool skip_old_tmpfs(void)
{
    unsigned major = 0, minor = 0;
    struct utsname host;

    g_assert_cmpint(uname(&host), ==, 0);
    sscanf(host.release, "%u.%u", &major, &minor);
    if (major < 6 || (major == 6 && minor < 4)) {
        g_test_skip("this kernel's tmpfs is not relied on");
        return true;
    }
    return false;
}

/* Bytes of memory that the process uses. */
static uint64_t resident(QTestState *qts)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/status",
                                            (int)qtest_pid(qts));
    g_autofree char *status = NULL;
    const char *line;
    unsigned long kib;

    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    line = strstr(status, "VmRSS:");
    g_assert_nonnull(line);
    g_assert_cmpint(sscanf(line, "VmRSS: %lu", &kib), ==, 1);
    return kib * KiB;
}

/* A save does not populate memory. */
static void save_untouched(FixedRamTest *t)
{
    uint64_t before = resident(t->from);

    frt_set_mode(t->from, t->save);
    migrate_ensure_converge(t->from);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    wait_for_migration_complete(t->from);
    g_assert_cmpuint(resident(t->from), <, before + 100 * MiB);
}

/* A file that is not empty; the guest sees it and writes over some of it. */
static void make_backend_file(void)
{
    g_autofree char *path = frt_shm_path();
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
    g_autofree char *path = frt_shm_path();
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
    if (!frt_start(&args)) {
        frt_remove_files();
        return;
    }
    frt_fill(&args);
    frt_save(&args);
    compare_with_base(&args);
    frt_end(&args);
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

/* The save does not touch memory that the guest has not touched. */
static void test_untouched(void)
{
    FixedRamTest args = {
        .start.opts_source = LARGE,
        .save = FR_FIXED,
    };
    g_autoptr(Snapshot) s = NULL;

    if (skip_old_tmpfs() || !frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    save_untouched(&args);
    s = frt_open_snapshot(&args);
    snapshot_check_index(s, true);
    g_assert_cmpuint(snapshot_data(s), <, 200 * MiB);
    frt_end(&args);
}

#define BALLOON "-device virtio-balloon-pci,id=balloon0,addr=9"
#define INFLATED                (PATTERN_START + 6 * MiB)
#define INFLATED_PAGES          100

/* Memory that the balloon gave back is zero, and stays free. */
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
    g_autofree char *path = frt_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = NULL;
    uint64_t first = INFLATED / SNAPSHOT_PAGE_SIZE;
    FixedRamDriver d;

    if (skip_old_tmpfs() || !frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_driver_start(&d, args.from, 0, 2);
    for (unsigned i = 0; i < INFLATED_PAGES; i++) {
        qtest_writel(args.from, d.page, first + i);
        frt_driver_send(&d, 0, d.page, 4, false);
    }
    frt_driver_end(&d);
    save_untouched(&args);
    s = snapshot_open(path, 0);
    for (unsigned i = 0; i < INFLATED_PAGES; i++) {
        const SnapshotBlock *block = snapshot_largest_block(s);

        g_assert_false(block->bitmap[(first + i) / 64] >> (first + i) % 64 & 1);
    }
    snapshot_check_index(s, true);
    compare_with_base(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "plain", test_plain },
    { "direct", test_direct },
    { "multifd", test_multifd, true },
    { "multifd-dio", test_multifd_dio },
    { "no-sums", test_no_sums, true },
    { "fdset", test_fdset, true },
    { "backends-shared", test_backends_shared },
    { "backends-private", test_backends_private },
    { "untouched", test_untouched },
    { "balloon", test_balloon },
};

void frt_add_bulk_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "bulk", cases, ARRAY_SIZE(cases));
}
