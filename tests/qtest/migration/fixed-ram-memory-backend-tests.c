/*
 * QTest testcases for fixed-ram: kinds of memory to load into
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mount.h>
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"

#define BACKEND "-m %s -machine memory-backend=mem0"
#define ANONYMOUS "-object memory-backend-ram,id=mem0,size=150M"
#define MEMFD "-object memory-backend-memfd,id=mem0,size=150M,share=on"

static void test_eager_memfd(void)
{
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = MEMFD,
        .start.opts_target = MEMFD,
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    frt_test(&args);
}

static void test_demand_memfd(void)
{
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = MEMFD,
        .start.opts_target = MEMFD,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    frt_test(&args);
}

static void test_demand_anonymous(void)
{
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = ANONYMOUS,
        .start.opts_target = ANONYMOUS,
        .save = FR_FIXED,
        .load = FR_DEMAND,
    };

    frt_test(&args);
}

/* The memory's file held something else before, in every byte. */
static void test_reused_file(unsigned load)
{
    g_autofree char *path = frt_shm_path();
    g_autofree char *opts = g_strdup_printf(
        "-object memory-backend-file,id=mem0,size=150M,share=on,mem-path=%s",
        path);
    g_autofree char *junk = g_malloc(150 * MiB);
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = ANONYMOUS,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = load,
    };

    if (!frt_have_shm()) {
        return;
    }
    memset(junk, 0xa5, 150 * MiB);
    g_assert(g_file_set_contents(path, junk, 150 * MiB, NULL));
    frt_test(&args);
}

static void test_eager_reused_file(void)
{
    test_reused_file(FR_FIXED);
}

static void test_demand_reused_file(void)
{
    test_reused_file(FR_DEMAND);
}

/*
 * On demand pages would be discarded first, which punches holes into the file:
 * that is refused, and the same QEMU then loads eagerly.
 */
static void test_private_file(void)
{
    g_autofree char *path = frt_shm_path();
    g_autofree char *opts = g_strdup_printf(
        "-object memory-backend-file,id=mem0,size=150M,share=off,mem-path=%s",
        path);
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = ANONYMOUS,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    if (!frt_have_shm()) {
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, FR_DEMAND);
    frt_assert_refused(args.to, "mem0|private mapping",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", args.uri);
    g_assert_cmpstr(args.events->str, ==, "");
    migrate_set_capability(args.to, "postcopy-ram", false);
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

#define NUMA_NODES \
    "-m %s -smp 2 -numa node,memdev=mem0,cpus=0 -numa node,memdev=mem1,cpus=1"
#define NUMA_MEMORY \
    "-object memory-backend-ram,id=mem0,size=75M " \
    "-object memory-backend-memfd,id=mem1,size=75M,share=on"

static void test_numa(unsigned load)
{
    FixedRamTest args = {
        .start.memory_backend = NUMA_NODES,
        .start.opts_source = NUMA_MEMORY,
        .start.opts_target = NUMA_MEMORY,
        .save = FR_FIXED,
        .load = load,
        .pattern_block = "mem1",
        .pattern_offset = 29 * MiB,
    };

    frt_test(&args);
}

static void test_eager_numa(void)
{
    test_numa(FR_FIXED | FR_MULTIFD);
}

static void test_demand_numa(void)
{
    test_numa(FR_DEMAND | FR_MULTIFD);
}

static void test_huge_pages(unsigned load)
{
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = ANONYMOUS,
        .start.opts_target = MEMFD ",hugetlb=on,hugetlbsize=2M",
        .save = FR_FIXED,
        .load = load,
        .unit = 2 * MiB,
    };

    if (frt_have_huge_pages()) {
        frt_test(&args);
    }
}

static void test_eager_huge_pages(void)
{
    test_huge_pages(FR_FIXED);
}

static void test_demand_huge_pages(void)
{
    test_huge_pages(FR_DEMAND);
}

/* A file has no huge pages, so the load is refused; an eager one works. */
static void test_mapped_huge_pages(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.memory_backend = BACKEND,
        .start.opts_source = ANONYMOUS,
        .start.opts_target = "-object memory-backend-memfd,id=mem0,size=150M,"
                             "share=off,hugetlb=on,hugetlbsize=2M",
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
        .unit = 2 * MiB,
    };

    if (!frt_have_huge_pages() || !frt_prepare(&args)) {
        return;
    }
    frt_set_mode(args.to, args.load);
    frt_assert_refused(args.to, "mem0|huge pages",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", args.uri);
    migrate_set_parameter_str(args.to, "fixed-ram-load-mode", "eager");
    args.load_mode = "eager";
    frt_load(&args);
    frt_check(&args);
    frt_end(&args);
}

/* Both sides have the same read-only NVDIMM: nothing of it is written. */
static void test_readonly(void)
{
    g_autofree char *path = frt_shm_path();
    g_autofree char *opts = g_strdup_printf(
        "-machine nvdimm=on -object memory-backend-file,id=rom,size=16M,"
        "share=on,readonly=on,mem-path=%s "
        "-device nvdimm,id=nv,memdev=rom,unarmed=on", path);
    g_autofree char *junk = g_malloc(16 * MiB);
    g_autofree char *saved = frt_path(FILE_TEST_FILENAME);
    g_autofree char *again = frt_path("again");
    g_autoptr(Snapshot) want = NULL;
    g_autoptr(Snapshot) have = NULL;
    FixedRamTest args = {
        .start.memory_backend = "-m %s,slots=1,maxmem=1G",
        .start.opts_source = opts,
        .start.opts_target = opts,
        .save = FR_FIXED,
        .load = FR_FIXED,
    };

    if (!frt_have_shm()) {
        return;
    }
    memset(junk, 'x', 16 * MiB);
    g_assert_true(g_file_set_contents(path, junk, 16 * MiB, NULL));
    if (!frt_prepare(&args)) {
        return;
    }
    frt_load(&args);
    /* mapped-ram alone cannot load it: there is no other load to compare. */
    frt_save_again(args.to, args.load, "again");
    want = snapshot_open(saved, 0);
    have = snapshot_open(again, 0);
    snapshot_assert_same_ram(want, have);
    frt_end(&args);
}

/* The file system of the memory's file is smaller than what was saved. */
static void test_no_room(void)
{
    g_autofree char *folder = frt_path("folder");
    g_autofree char *opts = g_strdup_printf(
        "-object memory-backend-file,id=mem0,size=150M,share=on,"
        "mem-path=%s/mem", folder);
    FixedRamTest args = {
        .start.memory_backend = BACKEND,
        .start.opts_source = ANONYMOUS,
        .start.opts_target = opts,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_FIXED,
    };
    bool prepared;

    g_assert_cmpint(mkdir(folder, 0700), ==, 0);
    if (mount("fixed-ram", folder, "tmpfs", 0, "size=32M")) {
        g_test_skip("mounting a small tmpfs needs a right");
        rmdir(folder);
        return;
    }
    prepared = frt_prepare(&args);
    g_assert_cmpint(umount2(folder, MNT_DETACH), ==, 0);
    if (!prepared) {
        return;
    }
    frt_set_mode(args.to, args.load);
    frt_assert_refused(args.to, FILE_TEST_FILENAME "|mem0|has room for",
                       "{ 'execute': 'migrate-incoming', "
                       "'arguments': { 'uri': %s } }", args.uri);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "memfd-eager", test_eager_memfd, true },
    { "private-file", test_private_file },
    { "read-only", test_readonly },
    { "no-room", test_no_room },
    { "reused-file-eager", test_eager_reused_file },
    { "numa-eager", test_eager_numa, true },
    { "huge-pages-eager", test_eager_huge_pages, true },
    { "memfd-demand", test_demand_memfd, true },
    { "anonymous-demand", test_demand_anonymous, true },
    { "reused-file-demand", test_demand_reused_file },
    { "numa-demand", test_demand_numa },
    { "huge-pages-demand", test_demand_huge_pages, true },
    { "huge-pages-mapped", test_mapped_huge_pages },
};

void frt_add_memory_backend_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "memory-backend", cases, ARRAY_SIZE(cases));
}
