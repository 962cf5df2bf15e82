/*
 * QTest testcases for fixed-ram: the host's page cache during loads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* Of a snapshot's file: where its pages lie, each with all of its space. */
typedef struct PageRange {
    uint64_t offset;
    uint64_t length;
} PageRange;

typedef struct CachedFile {
    int fd;
    GArray *ranges;             /* of PageRange */
    uint64_t data;              /* bytes of the pages that are not zero */
} CachedFile;

static void file_begin(CachedFile *f, const char *name)
{
    g_autofree char *path = frt_path(name);
    g_autoptr(Snapshot) s = snapshot_open(path, 0);

    f->fd = open(path, O_RDONLY);
    g_assert_cmpint(f->fd, >=, 0);
    f->ranges = g_array_new(false, false, sizeof(PageRange));
    f->data = snapshot_data(s);
    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *b = &g_array_index(s->blocks, SnapshotBlock, i);
        PageRange range = { .offset = b->pages_offset, .length = b->length };

        g_array_append_val(f->ranges, range);
    }
}

static void file_end(CachedFile *f)
{
    close(f->fd);
    g_array_unref(f->ranges);
}

static uint64_t resident(int fd, const PageRange *range)
{
    size_t page = qemu_real_host_page_size();
    size_t pages = DIV_ROUND_UP(range->length, page);
    g_autofree uint8_t *vec = g_malloc(pages);
    void *map = mmap(NULL, range->length, PROT_READ, MAP_SHARED, fd,
                     range->offset);
    uint64_t bytes = 0;

    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mincore(map, range->length, vec), ==, 0);
    munmap(map, range->length);
    for (size_t i = 0; i < pages; i++) {
        bytes += vec[i] & 1 ? page : 0;
    }
    return bytes;
}

/* How many bytes of pages are in the host's page cache. */
static uint64_t file_cached(const CachedFile *f)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < f->ranges->len; i++) {
        bytes += resident(f->fd, &g_array_index(f->ranges, PageRange, i));
    }
    return bytes;
}

/* False if the file system keeps what is dropped. */
static bool file_drop(const CachedFile *f)
{
    g_assert_cmpint(fsync(f->fd), ==, 0);
    g_assert_cmpint(posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED), ==, 0);
    return !file_cached(f);
}

static void file_cache(const CachedFile *f)
{
    g_autofree uint8_t *buf = g_malloc(MiB);
    off_t pos = 0;
    ssize_t n;

    while ((n = pread(f->fd, buf, MiB, pos)) > 0) {
        pos += n;
    }
    g_assert_cmpint(n, ==, 0);
}

/*
 * Up to a saved snapshot of which nothing is in the page cache; false if the
 * test is skipped.
 */
static bool prepare_cold(FixedRamTest *t, CachedFile *f)
{
    const char *skip = NULL;

    if (!frt_prepare(t)) {
        return false;
    }
    file_begin(f, FILE_TEST_FILENAME);
    if (!probe_o_direct_support(migration_get_env()->tmpfs)) {
        skip = "the file system does not support O_DIRECT";
    } else if (!file_drop(f)) {
        skip = "the file system keeps files in memory";
    }
    if (skip) {
        g_test_skip(skip);
        file_end(f);
        frt_end(t);
    }
    return !skip;
}

static void finish(FixedRamTest *t, CachedFile *f)
{
    file_end(f);
    frt_check(t);
    frt_end(t);
}

/* A load of a file that is not cached leaves it like that. */
static void test_spared(FixedRamTest args)
{
    CachedFile f;

    if (prepare_cold(&args, &f)) {
        frt_load(&args);
        g_assert_cmpuint(file_cached(&f), ==, 0);
        finish(&args, &f);
    }
}

static void test_eager(void)
{
    test_spared((FixedRamTest) { .save = FR_FIXED, .load = FR_FIXED });
}

static void test_demand(void)
{
    test_spared((FixedRamTest) { .save = FR_FIXED, .load = FR_DEMAND });
}

static void test_demand_mapped(void)
{
    test_spared((FixedRamTest) {
        .save = FR_MAPPED, .load = FR_MAPPED | FR_POSTCOPY,
    });
}

static void test_multifd(void)
{
    test_spared((FixedRamTest) {
        .save = FR_FIXED, .load = FR_DEMAND | FR_MULTIFD,
    });
}

static void test_direct(void)
{
    test_spared((FixedRamTest) {
        .save = FR_FIXED, .load = FR_FIXED | FR_DIRECT,
    });
}

/* Two descriptors, one of them with O_DIRECT. */
static void test_fds(void)
{
    test_spared((FixedRamTest) {
        .save = FR_FIXED, .load = FR_DEMAND, .fds = 2, .direct_fd = true,
    });
}

/* All pages go through the page cache. */
static void test_filled(FixedRamTest args)
{
    CachedFile f;

    if (prepare_cold(&args, &f)) {
        frt_load(&args);
        g_assert_cmpuint(file_cached(&f), >=, f.data);
        finish(&args, &f);
    }
}

/* "off" is what the parameter is before, too, but now it was set. */
static void test_buffered(void)
{
    test_filled((FixedRamTest) {
        .save = FR_FIXED, .load = FR_FIXED | FR_BUFFERED,
    });
}

static void test_buffered_demand(void)
{
    test_filled((FixedRamTest) {
        .save = FR_FIXED, .load = FR_DEMAND | FR_BUFFERED,
    });
}

static void test_buffered_hmp(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    CachedFile f;

    if (prepare_cold(&args, &f)) {
        frt_hmp_silent(args.to, "migrate_set_parameter direct-io off");
        frt_load(&args);
        g_assert_cmpuint(file_cached(&f), >=, f.data);
        finish(&args, &f);
    }
}

/* A set with one descriptor has none with O_DIRECT. */
static void test_one_fd(void)
{
    test_filled((FixedRamTest) {
        .save = FR_FIXED, .load = FR_DEMAND, .fds = 1,
    });
}

/* Bytes that QEMU has had read from a disk; false: that is not known. */
static bool read_from_disk(QTestState *qts, uint64_t *bytes)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/io", qtest_pid(qts));
    g_autofree char *text = NULL;
    const char *line;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return false;
    }
    line = strstr(text, "\nread_bytes: ");
    return line && sscanf(line, "\nread_bytes: %" SCNu64, bytes) == 1;
}

/* A file that is cached is read from the disk, or not. */
static void test_warm(FixedRamTest args, bool from_disk)
{
    uint64_t before, after;
    CachedFile f;

    if (!prepare_cold(&args, &f)) {
        return;
    }
    file_cache(&f);
    if (read_from_disk(args.to, &before)) {
        frt_load(&args);
        g_assert_true(read_from_disk(args.to, &after));
        g_assert_cmpint(after - before >= f.data, ==, from_disk);
        g_assert_cmpuint(file_cached(&f), >=, f.data);
        finish(&args, &f);
    } else {
        g_test_skip("/proc/PID/io does not tell what is read");
        file_end(&f);
        frt_end(&args);
    }
}

static void test_warm_eager(void)
{
    test_warm((FixedRamTest) { .save = FR_FIXED, .load = FR_FIXED }, false);
}

static void test_warm_demand(void)
{
    test_warm((FixedRamTest) { .save = FR_FIXED, .load = FR_DEMAND }, false);
}

static void test_warm_direct(void)
{
    test_warm((FixedRamTest) {
        .save = FR_FIXED, .load = FR_FIXED | FR_DIRECT,
    }, true);
}

/* A recovery reads its file as the load does. */
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
    CachedFile f, copy;

    if (!prepare_cold(&args, &f)) {
        return;
    }
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    file_begin(&copy, "copy");
    g_assert_true(file_drop(&copy));
    frt_begin_crawl(&args);
    frt_pause(&args);
    migrate_recover(args.to, uri);
    frt_load_rest(&args);
    g_assert_cmpuint(file_cached(&copy), ==, 0);
    file_end(&copy);
    finish(&args, &f);
}

/* A file in memory, where O_DIRECT has no meaning. */
static void test_tmpfs(void)
{
    FixedRamTest args = { .save = FR_FIXED, .load = FR_DEMAND };
    g_autofree char *shm = frt_shm_path();
    g_autofree char *uri = g_strdup_printf("file:%s", shm);
    g_autofree char *link = frt_path("copy");

    if (!frt_have_shm() || !frt_prepare(&args)) {
        return;
    }
    g_assert_cmpint(symlink(shm, link), ==, 0);
    frt_copy_file(FILE_TEST_FILENAME, "copy");
    frt_set_mode(args.to, args.load);
    frt_incoming(&args, uri);
    frt_wait_status(args.to, "completed");
    frt_check(&args);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "eager", test_eager },
    { "demand", test_demand },
    { "demand/mapped-ram", test_demand_mapped, true },
    { "demand/multifd", test_multifd, true },
    { "direct", test_direct, true },
    { "fds", test_fds },
    { "buffered/eager", test_buffered },
    { "buffered/demand", test_buffered_demand, true },
    { "buffered/hmp", test_buffered_hmp, true },
    { "buffered/one-fd", test_one_fd },
    { "warm/eager", test_warm_eager },
    { "warm/demand", test_warm_demand },
    { "warm/direct", test_warm_direct, true },
    { "recover", test_recover },
    { "tmpfs", test_tmpfs },
};

void frt_add_page_cache_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "page-cache", cases, ARRAY_SIZE(cases));
}
