/*
 * fixed-ram: unit tests of the page sources
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/digest.h"
#include "migration/fixed-ram/format/source.h"

#define PAGE 4096
#define PAGES 5
#define TAIL 100                /* the file does not end on a page's border */
#define SIZE (PAGES * PAGE + TAIL)

static char *dir;
static char *path;
static uint8_t content[SIZE];

/*
 * Results of the next calls of pread(): a positive number is the most that a
 * call reads, a negative one an errno.  From 0 on calls work as usual.
 */
static const int *next_reads;

/* If not 0, every read fails with this errno. */
static int every_read;
static unsigned reads, pauses;
static uint64_t bytes_read;     /* sum of all calls' lengths */

/* No caller should try as often as this. */
#define READS_MAX   100000

/* Replaces libc's function. */
ssize_t pread(int fd, void *buf, size_t length, off_t offset)
{
    int next = next_reads ? *next_reads : 0;

    bytes_read += length;
    if (every_read) {
        g_assert_cmpuint(reads++, <, READS_MAX);
        errno = every_read;
        return -1;
    }
    if (next) {
        next_reads++;
    }
    if (next < 0) {
        errno = -next;
        return -1;
    }
    return syscall(SYS_pread64, fd, buf, next ? MIN(next, length) : length,
                   offset);
}

/* Replaces GLib's function, so that tests do not wait. */
void g_usleep(gulong us)
{
    g_assert_cmpuint(us, >, 0);
    pauses++;
}

static void write_file(void)
{
    g_assert_true(g_file_set_contents(path, (char *)content, SIZE, NULL));
}

/* Skips the test and returns NULL if O_DIRECT does not work here. */
static FixedRamSource *open_file(const void *way)
{
    OnOffAuto direct = GPOINTER_TO_INT(way);
    Error *err = NULL;
    FixedRamSource *source = fixed_ram_source_open_file(path, 0, direct,
                                                        &err);

    if (direct == ON_OFF_AUTO_ON && !source &&
        strstr(error_get_pretty(err), "does not support O_DIRECT")) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return NULL;
    }
    g_assert_null(err);
    g_assert_nonnull(source);
    g_assert_cmpstr(source->name, ==, path);
    g_assert_cmpuint(source->size, ==, SIZE);
    return source;
}

static void check_error(Error *err, const char *words)
{
    const char *text;

    g_assert_nonnull(err);
    text = error_get_pretty(err);
    g_assert_nonnull(strstr(text, path));
    if (!strstr(text, words)) {
        g_test_message("'%s' is not in: %s", words, text);
        g_test_fail();
    }
    error_free(err);
}

/* Metadata has any length and offset, also if pages are read directly. */
static void test_read(const void *way)
{
    static const struct {
        uint64_t offset;
        size_t length;
    } rows[] = {
        { 0, 1 }, { 0, SIZE }, { 1, 4095 }, { 4095, 2 }, { 4096, 8192 },
        { SIZE - 1, 1 }, { SIZE, 0 }, { 777, SIZE - 777 },
    };
    g_autoptr(FixedRamSource) source = open_file(way);
    uint8_t buf[SIZE];

    for (size_t i = 0; source && i < ARRAY_SIZE(rows); i++) {
        memset(buf, 0xaa, sizeof(buf));
        g_assert_true(fixed_ram_source_read(source, buf, rows[i].length,
                                            rows[i].offset, &error_abort));
        g_assert_cmpmem(buf, rows[i].length, content + rows[i].offset,
                        rows[i].length);
        if (rows[i].length < SIZE) {
            g_assert_cmphex(buf[rows[i].length], ==, 0xaa);
        }
    }
}

static void test_read_pages(const void *way)
{
    g_autoptr(FixedRamSource) source = open_file(way);
    uint8_t *buf = qemu_memalign(PAGE, PAGES * PAGE);

    for (unsigned first = 0; source && first < PAGES; first++) {
        for (unsigned n = 1; n <= PAGES - first; n++) {
            g_assert_true(fixed_ram_source_read_pages(source, buf, n * PAGE,
                                                      first * PAGE,
                                                      &error_abort));
            g_assert_cmpmem(buf, n * PAGE, content + first * PAGE, n * PAGE);
        }
    }
    qemu_vfree(buf);
}

/* Reading beyond the end is an error with both offsets, never zeros. */
static void test_end(const void *way)
{
    static const struct {
        uint64_t offset;
        size_t length;
        const char *words;
    } rows[] = {
        { (PAGES - 1) * PAGE, 2 * PAGE, "ends at offset 0x5064" },
        { PAGES * PAGE, PAGE, "ends at offset 0x5064" },
        { (PAGES + 1) * PAGE, PAGE, "expected at offset 0x6000" },
        { 1ULL << 40, PAGE, "4096 bytes were expected at offset 0x1000" },
    };
    g_autoptr(FixedRamSource) source = open_file(way);
    uint8_t *buf = qemu_memalign(PAGE, 2 * PAGE);

    for (size_t i = 0; source && i < ARRAY_SIZE(rows); i++) {
        Error *err = NULL;

        g_assert_false(fixed_ram_source_read_pages(source, buf,
                                                   rows[i].length,
                                                   rows[i].offset, &err));
        check_error(err, rows[i].words);
        err = NULL;
        g_assert_false(fixed_ram_source_read(source, buf, rows[i].length,
                                             rows[i].offset, &err));
        check_error(err, rows[i].words);
    }
    qemu_vfree(buf);
}

/* The file is cut while it is in use: the error says where it ends now. */
static void test_shortened(const void *way)
{
    g_autoptr(FixedRamSource) source = open_file(way);
    uint8_t *buf = qemu_memalign(PAGE, 2 * PAGE);
    Error *err = NULL;

    if (source) {
        g_assert_cmpint(truncate(path, 2 * PAGE), ==, 0);
        g_assert_true(fixed_ram_source_read_pages(source, buf, PAGE, PAGE,
                                                  &error_abort));
        g_assert_false(fixed_ram_source_read_pages(source, buf, 2 * PAGE,
                                                   PAGE, &err));
        check_error(err, "ends at offset 0x2000");
        write_file();
    }
    qemu_vfree(buf);
}

/*
 * A read may be cut anywhere and interrupted a few times.  Any other error is
 * reported, also if a part had been read before.
 */
static void test_trouble(const void *way)
{
    static const struct {
        int reads[8];
        const char *words;      /* NULL: all is read */
    } rows[] = {
        { { -EINTR } },
        { { -EAGAIN } },
        { { -EINTR, -EAGAIN, -EINTR, -EINTR, -EINTR, -EAGAIN } },
        { { PAGE } },
        { { PAGE, -EINTR, -EAGAIN } },
        { { 1 } },
        { { 1, 1, PAGE - 2, 1, PAGE - 1 } },
        { { 100, -EINTR, 1, -EAGAIN, 3000, -EINTR, PAGE } },
        { { -EIO }, "cannot read 8192 bytes at offset 0x1000: Input" },
        { { -ESTALE }, "Stale file handle" },
        { { -ENOSPC }, "No space left on device" },
        { { -ENOLINK }, "Link has been severed" },
        { { -EINTR, -EIO }, "Input/output error" },
        { { PAGE, -EIO }, "at offset 0x1000: Input/output error" },
        { { PAGE, -EINTR, -EAGAIN, -ETIMEDOUT }, "timed out" },
        { { 9, -EIO }, "at offset 0x1000: Input/output error" },
    };
    g_autoptr(FixedRamSource) source = open_file(way);
    uint8_t *buf = qemu_memalign(PAGE, 2 * PAGE);

    for (size_t i = 0; source && i < 2 * ARRAY_SIZE(rows); i++) {
        bool pages = i % 2;
        const char *words = rows[i / 2].words;
        Error *err = NULL;
        bool ok;

        if (GPOINTER_TO_INT(way) == ON_OFF_AUTO_ON && pages &&
            rows[i / 2].reads[0] > 0 &&
            rows[i / 2].reads[0] < PAGE) {
            continue;           /* direct reads are cut at pages only */
        }
        memset(buf, 0, 2 * PAGE);
        next_reads = rows[i / 2].reads;
        ok = pages ? fixed_ram_source_read_pages(source, buf, 2 * PAGE, PAGE,
                                                 &err)
                   : fixed_ram_source_read(source, buf, 2 * PAGE, PAGE, &err);
        g_assert_cmpint(*next_reads, ==, 0);
        next_reads = NULL;
        g_assert_cmpint(ok, ==, !words);
        if (ok) {
            g_assert_cmpmem(buf, 2 * PAGE, content + PAGE, 2 * PAGE);
        } else {
            check_error(err, words);
        }
    }
    qemu_vfree(buf);
}

/*
 * A file that never says anything but "try again" is an I/O error in the end,
 * and the thread that reads it does not spin until then.
 */
static void test_endless(const void *way)
{
    static const int errors[] = { EAGAIN, EINTR };
    g_autoptr(FixedRamSource) source = open_file(way);
    uint8_t *buf = qemu_memalign(PAGE, PAGE);

    for (size_t i = 0; source && i < 2 * ARRAY_SIZE(errors); i++) {
        Error *err = NULL;
        bool ok;

        every_read = errors[i / 2];
        reads = pauses = 0;
        ok = i % 2 ? fixed_ram_source_read_pages(source, buf, PAGE, 0, &err)
                   : fixed_ram_source_read(source, buf, PAGE, 0, &err);
        every_read = 0;
        g_assert_false(ok);
        check_error(err, strerror(errors[i / 2]));
        g_assert_cmpuint(reads, >, 100);
        g_assert_cmpuint(pauses, ==, reads - 1);
        g_assert_true(fixed_ram_source_read(source, buf, PAGE, 0,
                                            &error_abort));
    }
    qemu_vfree(buf);
}

/* Read a regular file that fails: this process's unmapped memory. */
static void test_unreadable(void)
{
    uint8_t *gap = mmap(NULL, 2 * PAGE, PROT_READ,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_autoptr(FixedRamSource) source = NULL;
    uint8_t buf[PAGE];
    Error *err = NULL;

    g_assert_true(gap != MAP_FAILED);
    g_assert_cmpint(munmap(gap + PAGE, PAGE), ==, 0);
    source = fixed_ram_source_open_file("/proc/self/mem", 0, ON_OFF_AUTO_OFF,
                                        &error_abort);
    g_assert_true(fixed_ram_source_read_pages(source, buf, PAGE,
                                              (uintptr_t)gap, &error_abort));
    g_assert_false(fixed_ram_source_read_pages(source, buf, PAGE,
                                               (uintptr_t)gap + PAGE, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "'/proc/self/mem'"));
    g_assert_nonnull(strstr(error_get_pretty(err), "Input/output error"));
    error_free(err);
    munmap(gap, PAGE);
}

static void expect_refused(const char *name, const char *words)
{
    for (OnOffAuto direct = 0; direct < ON_OFF_AUTO__MAX; direct++) {
        Error *err = NULL;

        g_assert_null(fixed_ram_source_open_file(name, 0, direct, &err));
        g_assert_nonnull(strstr(error_get_pretty(err), name));
        if (!strstr(error_get_pretty(err), words)) {
            g_test_message("%s", error_get_pretty(err));
            g_test_fail();
        }
        error_free(err);
    }
}

static void test_missing(void)
{
    g_autofree char *name = g_strdup_printf("%s/nothing", dir);

    expect_refused(name, "No such file or directory");
}

static void test_not_regular(void)
{
    expect_refused(dir, "is not a regular file");
    expect_refused("/dev/zero", "is not a regular file");
}

/* Opening a FIFO must not wait for a writer. */
static void test_fifo(void)
{
    g_autofree char *name = g_strdup_printf("%s/fifo", dir);

    g_assert_cmpint(mkfifo(name, 0600), ==, 0);
    expect_refused(name, "is not a regular file");
    g_assert_cmpint(unlink(name), ==, 0);
}

static void test_empty_file(void)
{
    g_autofree char *name = g_strdup_printf("%s/empty", dir);
    g_autoptr(FixedRamSource) source = NULL;
    Error *err = NULL;
    uint8_t byte;

    g_assert_true(g_file_set_contents(name, "", 0, NULL));
    source = fixed_ram_source_open_file(name, 0, ON_OFF_AUTO_OFF, &error_abort);
    g_assert_cmpuint(source->size, ==, 0);
    g_assert_false(fixed_ram_source_read(source, &byte, 1, 0, &err));
    error_free_or_abort(&err);
    g_assert_cmpint(unlink(name), ==, 0);
}

/* --- another kind of source --- */

typedef struct OddSource {
    FixedRamSource parent;
    ssize_t ret;
    unsigned reads, page_reads, closed;
} OddSource;

static ssize_t odd_read(FixedRamSource *source, void *buf, size_t length,
                        uint64_t offset)
{
    OddSource *odd = container_of(source, OddSource, parent);

    odd->reads++;
    return odd->ret;
}

static ssize_t odd_read_pages(FixedRamSource *source, void *buf,
                              size_t length, uint64_t offset)
{
    OddSource *odd = container_of(source, OddSource, parent);

    odd->page_reads++;
    return odd->ret;
}

static void odd_close(FixedRamSource *source)
{
    container_of(source, OddSource, parent)->closed++;
}

static void test_other_kind(void)
{
    FixedRamSourceOps ops = { .read = odd_read, .close = odd_close };
    OddSource odd = {
        .parent = { .ops = &ops, .name = g_strdup(path), .refs = 1 },
        .ret = 16,
    };
    Error *err = NULL;
    uint8_t buf[16];

    g_assert_true(fixed_ram_source_read_pages(&odd.parent, buf, 16, 0,
                                              &error_abort));
    g_assert_cmpuint(odd.reads, ==, 1);
    ops.read_pages = odd_read_pages;
    g_assert_true(fixed_ram_source_read_pages(&odd.parent, buf, 16, 0,
                                              &error_abort));
    g_assert_true(fixed_ram_source_read(&odd.parent, buf, 16, 0,
                                        &error_abort));
    g_assert_cmpuint(odd.reads, ==, 2);
    g_assert_cmpuint(odd.page_reads, ==, 1);

    odd.ret = -EIO;
    g_assert_false(fixed_ram_source_read_pages(&odd.parent, buf, 16, 0xabc,
                                               &err));
    check_error(err, "cannot read 16 bytes at offset 0xabc: Input/output");
    err = NULL;
    odd.ret = 5;
    g_assert_false(fixed_ram_source_read(&odd.parent, buf, 16, 0x10, &err));
    check_error(err, "ends at offset 0x15, 16 bytes");

    fixed_ram_source_unref(fixed_ram_source_ref(&odd.parent));
    g_assert_cmpuint(odd.closed, ==, 0);
    fixed_ram_source_unref(&odd.parent);
    g_assert_cmpuint(odd.closed, ==, 1);
    fixed_ram_source_unref(NULL);
}

/* --- holes --- */

#define SPARSE  (64 * MiB)

/* The same file, whose holes are not known. */
typedef struct SolidSource {
    FixedRamSource parent;
    FixedRamSource *inner;
} SolidSource;

static ssize_t solid_read(FixedRamSource *source, void *buf, size_t length,
                          uint64_t offset)
{
    FixedRamSource *inner = container_of(source, SolidSource, parent)->inner;

    return inner->ops->read(inner, buf, length, offset);
}

static uint64_t digest(FixedRamSource *source, uint64_t from, uint64_t to,
                       uint64_t *bits)
{
    g_autoptr(FixedRamDigest) d = fixed_ram_digest_new(source);

    *bits = bytes_read = 0;
    g_assert_true(fixed_ram_digest_add(d, from, to - from, bits,
                                       &error_abort));
    return fixed_ram_digest_get(d);
}

/* Returns whether the file system knows of holes. */
static bool write_sparse(const char *name)
{
    static const uint64_t places[] = { 5, 11 * MiB + 4095, SPARSE / 2 };
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    bool known;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, SPARSE), ==, 0);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        g_assert_cmpint(pwrite(fd, content, 999, places[i]), ==, 999);
    }
    known = lseek(fd, MiB, SEEK_DATA) > MiB;
    close(fd);
    return known;
}

/* Holes count as zeros, and are not read. */
static void test_holes(void)
{
    static const FixedRamSourceOps ops = { .read = solid_read };
    static const uint64_t ends[][2] = {
        { 0, SPARSE }, { 7, SPARSE - 3 }, { 12 * MiB + 1, SPARSE / 2 + 5 },
        { SPARSE - MiB, SPARSE }, { 5, 6 }, { 100, 100 },
    };
    g_autofree char *name = g_strdup_printf("%s/sparse", dir);
    g_autoptr(FixedRamSource) source = NULL;
    SolidSource solid = { };
    bool known = write_sparse(name);

    source = fixed_ram_source_open_file(name, 0, ON_OFF_AUTO_OFF, &error_abort);
    solid.inner = source;
    fixed_ram_source_init(&solid.parent, &ops, name, SPARSE);
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        uint64_t bits, all;
        uint64_t sum = digest(source, ends[i][0], ends[i][1], &bits);

        if (known) {
            g_assert_cmpuint(bytes_read, <=, 4 * MiB);
        }
        g_assert_cmphex(sum, ==, digest(&solid.parent, ends[i][0], ends[i][1],
                                        &all));
        g_assert_cmpuint(bits, ==, all);
        g_assert_cmpuint(bytes_read, ==, ends[i][1] - ends[i][0]);
    }
    g_free(solid.parent.name);
    g_free(solid.parent.path);
    g_assert_cmpint(unlink(name), ==, 0);
}

/* Where a file was cut there is no hole. */
static void test_holes_cut(void)
{
    g_autofree char *name = g_strdup_printf("%s/sparse", dir);
    g_autoptr(FixedRamSource) source = NULL;
    g_autoptr(FixedRamDigest) d = NULL;
    Error *err = NULL;

    write_sparse(name);
    source = fixed_ram_source_open_file(name, 0, ON_OFF_AUTO_OFF, &error_abort);
    d = fixed_ram_digest_new(source);
    g_assert_cmpint(truncate(name, SPARSE - PAGE), ==, 0);
    g_assert_false(fixed_ram_digest_add(d, 0, SPARSE, NULL, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "ends at offset 0x3fff000"));
    error_free(err);
    g_assert_cmpint(unlink(name), ==, 0);
}

static void add_all(const char *name, GTestDataFunc func)
{
    static const struct {
        OnOffAuto direct;
        const char *name;
    } ways[] = {
        { ON_OFF_AUTO_OFF, "buffered" },
        { ON_OFF_AUTO_ON, "direct" },
        { ON_OFF_AUTO_AUTO, "chosen" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        g_autofree char *test = g_strdup_printf("%s/%s", name, ways[i].name);

        g_test_add_data_func(test, GINT_TO_POINTER(ways[i].direct), func);
    }
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("fixed-ram-XXXXXX", NULL);
    g_assert_nonnull(dir);
    path = g_strdup_printf("%s/snapshot", dir);
    for (size_t i = 0; i < SIZE; i++) {
        content[i] = i ^ i >> 8;
    }
    write_file();

    add_all("/fixed-ram/source/read", test_read);
    add_all("/fixed-ram/source/read-pages", test_read_pages);
    add_all("/fixed-ram/source/end", test_end);
    add_all("/fixed-ram/source/shortened", test_shortened);
    add_all("/fixed-ram/source/trouble", test_trouble);
    add_all("/fixed-ram/source/endless", test_endless);
    g_test_add_func("/fixed-ram/source/unreadable", test_unreadable);
    g_test_add_func("/fixed-ram/source/missing", test_missing);
    g_test_add_func("/fixed-ram/source/not-regular", test_not_regular);
    g_test_add_func("/fixed-ram/source/fifo", test_fifo);
    g_test_add_func("/fixed-ram/source/empty-file", test_empty_file);
    g_test_add_func("/fixed-ram/source/other-kind", test_other_kind);
    g_test_add_func("/fixed-ram/source/holes", test_holes);
    g_test_add_func("/fixed-ram/source/holes-cut", test_holes_cut);
    ret = g_test_run();

    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(rmdir(dir), ==, 0);
    g_free(path);
    g_free(dir);
    return ret;
}
