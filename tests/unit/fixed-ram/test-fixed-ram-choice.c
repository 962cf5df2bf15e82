/*
 * fixed-ram: unit tests of reads that choose between page cache and O_DIRECT
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/memalign.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/source.h"
#include "migration/fixed-ram/util/page-cache.h"

#ifndef SYS_cachestat
#define SYS_cachestat   451
#endif

#define SIZE            (4 * MiB)
#define PAGE            4096

static char *dir;
static char *path;
static int file;                /* a descriptor of the test's own */
static uint8_t *content;        /* what the file holds */
static uint8_t *buf;

/*
 * What the code under test has read since forget(): "d" for a direct read, "b"
 * for a buffered one, with offset and length in KiB.  Pages that it has tried
 * are counted.
 */
static GString *seen;
static unsigned tried;

static int direct_error;        /* direct reads fail with it, if not 0 */
static int try_error;           /* tries do */

/* Replaces libc's function. */
ssize_t pread(int fd, void *mem, size_t length, off_t offset)
{
    bool direct = fcntl(fd, F_GETFL) & O_DIRECT;

    if (seen && fd != file) {
        g_string_append_printf(seen, "%s%c%ju+%zu", seen->len ? " " : "",
                               direct ? 'd' : 'b', (uintmax_t)offset / KiB,
                               length / KiB);
        if (direct && direct_error) {
            errno = direct_error;
            return -1;
        }
    }
    return syscall(SYS_pread64, fd, mem, length, offset);
}

/* Replaces libc's function. */
ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset,
                int flags)
{
    tried++;
    if (try_error) {
        errno = try_error;
        return -1;
    }
    return syscall(SYS_preadv2, fd, iov, count, offset, 0, flags);
}

static void forget(void)
{
    g_string_truncate(seen, 0);
    tried = 0;
    direct_error = try_error = 0;
}

static void assert_seen(const char *expected)
{
    g_assert_cmpstr(seen->str, ==, expected);
    g_string_truncate(seen, 0);
}

/* The page cache holds this part of the file, too. */
static void cache(uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *mem = g_malloc(length);

    g_assert_cmpint(pread(file, mem, length, offset), ==, length);
}

/* One byte for each page of the file: is it in the page cache? */
static GBytes *resident(void)
{
    uint8_t *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
    uint8_t *pages = g_malloc(SIZE / PAGE);

    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mincore(map, SIZE, pages), ==, 0);
    munmap(map, SIZE);
    for (size_t i = 0; i < SIZE / PAGE; i++) {
        pages[i] &= 1;
    }
    return g_bytes_new_take(pages, SIZE / PAGE);
}

static unsigned count_resident(void)
{
    g_autoptr(GBytes) pages = resident();
    const uint8_t *page = g_bytes_get_data(pages, NULL);
    unsigned count = 0;

    for (size_t i = 0; i < SIZE / PAGE; i++) {
        count += page[i];
    }
    return count;
}

/*
 * The page cache holds nothing of the file.  The kernel leaves out pages that a
 * thread of its own has taken hold of at the moment.
 */
static void drop_all(void)
{
    do {
        g_assert_cmpint(fsync(file), ==, 0);
        g_assert_cmpint(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), ==, 0);
    } while (count_resident());
}

/* Skips the test and returns false where it would show nothing. */
static bool host_can_choose(void)
{
    int fd = open(path, O_RDONLY | O_DIRECT);

    drop_all();
    if (fd < 0 || count_resident()) {
        g_test_skip("the file system has no O_DIRECT, or no page cache to "
                    "drop files from");
    }
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0 && !count_resident();
}

static FixedRamSource *open_source(void)
{
    FixedRamSource *source =
        fixed_ram_source_open_file(path, 0, ON_OFF_AUTO_AUTO, &error_abort);

    fixed_ram_source_spare_cache(source);
    forget();
    return source;
}

static void read_pages(FixedRamSource *source, uint64_t offset, size_t length)
{
    memset(buf, 0xaa, length);
    g_assert_true(fixed_ram_source_read_pages(source, buf, length, offset,
                                              &error_abort));
    g_assert_cmpmem(buf, length, content + offset, length);
}

/* What is read, by what is cached: the cache is the same afterwards. */
static void test_choice(void)
{
    static const struct {
        struct {
            unsigned offset, length;
        } cached[3], read;      /* in KiB */
        const char *seen;
    } rows[] = {
        { { }, { 0, 2048 }, "d0+2048" },
        { { }, { 8, 4 }, "d8+4" },
        { { { 0, 4096 } }, { 0, 2048 }, "b0+2048" },
        { { { 0, 4096 } }, { 4092, 4 }, "b4092+4" },
        { { { 64, 64 } }, { 64, 64 }, "b64+64" },
        { { { 64, 64 } }, { 64, 4 }, "b64+4" },
        { { { 64, 64 } }, { 60, 4 }, "d60+4" },
        { { { 64, 64 } }, { 128, 4 }, "d128+4" },
        /* A part that is cached but small is read along. */
        { { { 64, 64 } }, { 64, 68 }, "d64+68" },
        { { { 64, 64 } }, { 0, 256 }, "d0+256" },
        { { { 0, 252 } }, { 0, 256 }, "d0+256" },
        { { { 0, 1024 } }, { 0, 2048 }, "b0+1024 d1024+1024" },
        { { { 1024, 1024 } }, { 0, 2048 }, "d0+1024 b1024+1024" },
        { { { 512, 256 } }, { 0, 2048 },
          "d0+512 b512+256 d768+256 d1024+1024" },
        { { { 256, 256 }, { 1536, 512 } }, { 0, 2048 },
          "d0+256 b256+256 d512+512 d1024+512 b1536+512" },
        { { { 0, 256 } }, { 0, 300 }, "b0+256 d256+44" },
        { { { 256, 44 } }, { 0, 300 }, "d0+256 b256+44" },
        { { { 100, 4 } }, { 0, 300 }, "d0+256 d256+44" },
        /* What lies beside the range plays no part. */
        { { { 0, 64 }, { 512, 64 } }, { 64, 448 }, "d64+448" },
    };
    g_autoptr(FixedRamSource) source = NULL;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GBytes) before = NULL;
        g_autoptr(GBytes) after = NULL;

        drop_all();
        for (size_t j = 0; j < ARRAY_SIZE(rows[i].cached); j++) {
            cache(rows[i].cached[j].offset * KiB,
                  rows[i].cached[j].length * KiB);
        }
        before = resident();
        read_pages(source, rows[i].read.offset * KiB,
                   rows[i].read.length * KiB);
        after = resident();
        assert_seen(rows[i].seen);
        g_assert_true(g_bytes_equal(before, after));
    }
    g_assert_cmpuint(tried, ==, 0);
}

/* Metadata does not bring pages that lie behind it. */
static void test_metadata(void)
{
    g_autoptr(FixedRamSource) source = NULL;
    uint8_t byte;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    g_assert_true(fixed_ram_source_read(source, &byte, 1, 100, &error_abort));
    g_assert_cmphex(byte, ==, content[100]);
    assert_seen("b0+0");
    g_assert_cmpuint(count_resident(), ==, 1);
}

/* What is not on disk yet is read as it was written, chosen or not. */
static void test_dirty(void)
{
    g_autoptr(FixedRamSource) source = NULL;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    memset(content + MiB, 0x77, 512 * KiB);
    g_assert_cmpint(pwrite(file, content + MiB, 512 * KiB, MiB), ==, 512 * KiB);
    read_pages(source, 0, 2 * MiB);
    assert_seen("d0+1024 b1024+512 d1536+512");

    drop_all();
    memset(content + 64 * KiB, 0x88, PAGE);
    g_assert_cmpint(pwrite(file, content + 64 * KiB, PAGE, 64 * KiB), ==, PAGE);
    read_pages(source, 0, 128 * KiB);
    assert_seen("d0+128");
}

/* Direct reads have an alignment; others go through the page cache. */
static void test_unaligned(void)
{
    g_autoptr(FixedRamSource) source = NULL;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    g_assert_true(fixed_ram_source_read_pages(source, buf + 1, 8 * KiB, 0,
                                              &error_abort));
    g_assert_cmpmem(buf + 1, 8 * KiB, content, 8 * KiB);
    assert_seen("b0+8");
    drop_all();
    read_pages(source, 64 * KiB + 100, 4 * KiB);
    assert_seen("b64+4");
    drop_all();
    read_pages(source, 0, 4 * KiB + 8);
    assert_seen("b0+4");
    /* And none of that is remembered. */
    drop_all();
    read_pages(source, MiB, 4 * KiB);
    assert_seen("d1024+4");
}

/* A file system that refuses a direct read is not asked again. */
static void test_refused(void)
{
    static const int errors[] = { EINVAL, EOPNOTSUPP };

    if (!host_can_choose()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        g_autoptr(FixedRamSource) source = open_source();

        drop_all();
        direct_error = errors[i];
        read_pages(source, 0, 64 * KiB);
        assert_seen("d0+64 b0+64");
        direct_error = 0;
        read_pages(source, MiB, 64 * KiB);
        assert_seen("b1024+64");
    }
}

/* Memory that cannot be read into directly says nothing of other memory. */
static void test_memory_refused(void)
{
    g_autoptr(FixedRamSource) source = NULL;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    direct_error = EFAULT;
    read_pages(source, 0, 64 * KiB);
    assert_seen("d0+64 b0+64");
    direct_error = 0;
    read_pages(source, MiB, 64 * KiB);
    assert_seen("d1024+64");
}

/* An error is an error, and a buffered read would not mend it. */
static void test_error(void)
{
    static const int errors[] = { EIO, ENOSPC, ESTALE, ETIMEDOUT };
    g_autoptr(FixedRamSource) source = NULL;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    cache(MiB, MiB);
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
        Error *err = NULL;

        direct_error = errors[i];
        g_assert_false(fixed_ram_source_read_pages(source, buf, 2 * MiB, 0,
                                                   &err));
        assert_seen("d0+1024");
        g_assert_nonnull(strstr(error_get_pretty(err), strerror(errors[i])));
        g_assert_nonnull(strstr(error_get_pretty(err),
                                "2097152 bytes at offset 0x0"));
        error_free(err);
        err = NULL;
        g_assert_false(fixed_ram_source_read_pages(source, buf, 2 * MiB,
                                                   MiB, &err));
        assert_seen("b1024+1024 d2048+1024");
        g_assert_nonnull(strstr(error_get_pretty(err), strerror(errors[i])));
        error_free(err);
    }
}

/* The file is cut between two halves of a range, or within one. */
static void test_cut(void)
{
    g_autoptr(FixedRamSource) source = NULL;
    Error *err = NULL;

    if (!host_can_choose()) {
        return;
    }
    source = open_source();
    g_assert_cmpint(ftruncate(file, 3 * MiB), ==, 0);
    cache(2 * MiB, MiB);
    g_assert_false(fixed_ram_source_read_pages(source, buf, 2 * MiB, 2 * MiB,
                                               &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "ends at offset 0x300000"));
    error_free(err);
    err = NULL;
    g_assert_cmpint(ftruncate(file, 2 * MiB + 300 * KiB), ==, 0);
    g_assert_false(fixed_ram_source_read_pages(source, buf, 2 * MiB, 2 * MiB,
                                               &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "ends at offset 0x24b000"));
    error_free(err);
    g_assert_cmpint(pwrite(file, content, SIZE, 0), ==, SIZE);
}

/* A file that cannot be opened with O_DIRECT is read without, silently. */
static void test_no_direct(void)
{
    g_autoptr(FixedRamSource) source = NULL;
    Error *err = NULL;

    if (fixed_ram_source_open_file("/proc/self/mem", 0, ON_OFF_AUTO_ON, &err)) {
        g_test_skip("/proc/self/mem can be read directly");
        return;
    }
    error_free_or_abort(&err);
    source = fixed_ram_source_open_file("/proc/self/mem", 0, ON_OFF_AUTO_AUTO,
                                        &error_abort);
    fixed_ram_source_spare_cache(source);
    g_assert_true(fixed_ram_source_read_pages(source, buf, 64 * KiB,
                                              (uintptr_t)content,
                                              &error_abort));
    g_assert_cmpmem(buf, 64 * KiB, content, 64 * KiB);
}

/* From here on this process gets no answer of cachestat(). */
static void forbid_cachestat(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_cachestat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { ARRAY_SIZE(filter), filter };

    g_assert_cmpint(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), ==, 0);
    g_assert_cmpint(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), ==,
                    0);
}

/*
 * What is not in the page cache is tried less and less often.  A try makes the
 * kernel read the page, and it may be there at once.
 */
static void expect_few_tries(FixedRamSource *source)
{
    bool quick = false;

    for (unsigned i = 0; i < 256; i++) {
        unsigned before = tried;

        read_pages(source, SIZE - 16 * KiB, 16 * KiB);
        if (tried > before && !strcmp(seen->str, "b4080+16")) {
            quick = true;
            g_string_truncate(seen, 0);
        } else {
            assert_seen("d4080+16");
        }
        /* The page cannot be dropped before it is there: wait for that. */
        cache(SIZE - 16 * KiB, 16 * KiB);
        drop_all();
    }
    /* The first one, 1, 2, 4 ... 64, 128, 192 */
    g_assert_true(quick || tried == 10);
}

/* Without cachestat() a page is tried: rarely, as long as none is cached. */
static void choose_without_cachestat(void)
{
    FixedRamPageCache c = { .fd = file };
    g_autoptr(FixedRamSource) source = NULL;

    if (!host_can_choose()) {
        return;
    }
    forbid_cachestat();
    fixed_ram_page_cache_look(&c, 0, PAGE);
    g_assert_true(c.no_cachestat);
    drop_all();
    source = open_source();
    expect_few_tries(source);

    cache(0, MiB);
    for (unsigned i = 0; i < 64; i++) {
        read_pages(source, 0, 16 * KiB);
    }
    g_assert_nonnull(strstr(seen->str, "b0+16"));
    g_string_truncate(seen, 0);
    tried = 0;
    for (unsigned i = 0; i < 64; i++) {
        read_pages(source, i * 16 * KiB, 16 * KiB);
    }
    g_assert_null(strchr(seen->str, 'd'));
    g_assert_cmpuint(tried, ==, 64);
    g_string_truncate(seen, 0);

    /* What says nothing about the file is no answer. */
    drop_all();
    try_error = EINTR;
    read_pages(source, 2 * MiB, 16 * KiB);
    assert_seen("d2048+16");

    /* The kernel cannot try either: all goes through the page cache. */
    try_error = EOPNOTSUPP;
    read_pages(source, 2 * MiB, 16 * KiB);
    try_error = 0;
    tried = 0;
    drop_all();
    read_pages(source, 3 * MiB, 16 * KiB);
    assert_seen("b2048+16 b3072+16");
    g_assert_cmpuint(tried, ==, 0);
}

/* A process cannot leave a sandbox, so a child enters it. */
static void test_no_cachestat(void)
{
    if (g_test_subprocess()) {
        choose_without_cachestat();
        /* At exit LeakSanitizer would need more than the sandbox allows. */
        _exit(EXIT_SUCCESS);
    }
    g_test_trap_subprocess(NULL, 60 * G_USEC_PER_SEC,
                           G_TEST_SUBPROCESS_INHERIT_STDERR);
    g_test_trap_assert_passed();
}

/* The answers themselves: part of a page counts as the page. */
static void test_look(void)
{
    FixedRamPageCache c = { .fd = file };

    if (!host_can_choose()) {
        return;
    }
    cache(64 * KiB, 64 * KiB);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 0, 1), ==,
                    FIXED_RAM_CACHED_NONE);
    if (c.no_cachestat) {
        g_test_skip("the kernel has no cachestat()");
        return;
    }
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 0, 64 * KiB), ==,
                    FIXED_RAM_CACHED_NONE);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 0, 64 * KiB + 1), ==,
                    FIXED_RAM_CACHED_PART);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 64 * KiB - 1, 2), ==,
                    FIXED_RAM_CACHED_PART);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 64 * KiB + 1, PAGE), ==,
                    FIXED_RAM_CACHED_ALL);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 64 * KiB, 64 * KiB), ==,
                    FIXED_RAM_CACHED_ALL);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 64 * KiB, 64 * KiB + 1), ==,
                    FIXED_RAM_CACHED_PART);
    g_assert_cmpint(fixed_ram_page_cache_look(&c, 2 * SIZE, PAGE), ==,
                    FIXED_RAM_CACHED_NONE);
    g_assert_cmpuint(tried, ==, 0);
}

static void setup(void)
{
    dir = g_dir_make_tmp("fixed-ram-XXXXXX", NULL);
    g_assert_nonnull(dir);
    path = g_strdup_printf("%s/snapshot", dir);
    content = qemu_memalign(PAGE, SIZE);
    buf = qemu_memalign(PAGE, SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        content[i] = i ^ i >> 8 ^ i >> 16;
    }
    file = open(path, O_CREAT | O_RDWR, 0600);
    g_assert_cmpint(file, >=, 0);
    g_assert_cmpint(pwrite(file, content, SIZE, 0), ==, SIZE);
    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM);
    seen = g_string_new(NULL);
}

static void teardown(void)
{
    g_string_free(seen, true);
    seen = NULL;
    close(file);
    unlink(path);
    rmdir(dir);
    qemu_vfree(content);
    qemu_vfree(buf);
    g_free(path);
    g_free(dir);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    setup();
    g_test_add_func("/fixed-ram/choice/look", test_look);
    g_test_add_func("/fixed-ram/choice/choice", test_choice);
    g_test_add_func("/fixed-ram/choice/metadata", test_metadata);
    g_test_add_func("/fixed-ram/choice/dirty", test_dirty);
    g_test_add_func("/fixed-ram/choice/unaligned", test_unaligned);
    g_test_add_func("/fixed-ram/choice/refused", test_refused);
    g_test_add_func("/fixed-ram/choice/memory-refused", test_memory_refused);
    g_test_add_func("/fixed-ram/choice/error", test_error);
    g_test_add_func("/fixed-ram/choice/cut", test_cut);
    g_test_add_func("/fixed-ram/choice/no-direct", test_no_direct);
    g_test_add_func("/fixed-ram/choice/no-cachestat", test_no_cachestat);
    ret = g_test_run();
    teardown();
    return ret;
}
