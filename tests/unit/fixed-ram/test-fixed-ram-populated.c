/*
 * fixed-ram: unit tests of finding pages that may hold data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/vfs.h>
#include "qemu/bitmap.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "migration/fixed-ram/save/populated.h"
#include "migration/fixed-ram/util/pagemap.h"
#include "migration/fixed-ram/util/sparse.h"

#define PAGES   1024
#define NEEDED  1               /* the answer must be "may hold data" */
#define EMPTY   0               /* the answer must be "zero" */
#define EITHER  2

typedef struct Fixture {
    size_t page;
    uint8_t *map;               /* with a page before and one behind */
    FixedRamMemory mem;
    uint8_t expected[PAGES];    /* of each page */
} Fixture;

typedef enum Way { SCAN, LIST, BLIND } Way;

/* -1: the kernel is too old for an answer about the file. */
static int memfd_or_skip(const char *name)
{
    FixedRamMemory mem = { .fd = -1 };
    FixedRamPopulated *populated;
    int fd = memfd_create(name, MFD_CLOEXEC);
    unsigned long page;

    g_assert_cmpint(fd, >=, 0);
    /* Pages of a hole that is mapped have no data, if that is known. */
    mem.length = qemu_real_host_page_size();
    mem.shared = true;
    mem.fd = fd;
    g_assert_cmpint(ftruncate(fd, mem.length), ==, 0);
    populated = fixed_ram_populated_new(&mem, mem.length);
    fixed_ram_populated_get(populated, 0, mem.length, &page);
    fixed_ram_populated_free(populated);
    if (page & 1) {
        g_test_skip("the holes of this kernel's tmpfs cannot be relied on");
        close(fd);
        return -1;
    }
    return fd;
}

static void set_way(Way way)
{
    g_unsetenv(FIXED_RAM_NO_PAGEMAP_SCAN);
    g_unsetenv(FIXED_RAM_NO_PAGEMAP);
    if (way == LIST) {
        g_setenv(FIXED_RAM_NO_PAGEMAP_SCAN, "1", true);
    } else if (way == BLIND) {
        g_setenv(FIXED_RAM_NO_PAGEMAP, "1", true);
    }
}

static void setup(Fixture *f, int fd, bool shared)
{
    int flags = (shared ? MAP_SHARED : MAP_PRIVATE) |
                (fd < 0 ? MAP_ANONYMOUS : 0);

    *f = (Fixture) { .page = qemu_real_host_page_size() };
    /* The mapping does not begin where the file does. */
    if (fd >= 0) {
        g_assert_cmpint(ftruncate(fd, (PAGES + 3) * f->page), ==, 0);
    }
    f->map = mmap(NULL, (PAGES + 2) * f->page, PROT_READ | PROT_WRITE, flags,
                  fd, fd < 0 ? 0 : f->page);
    g_assert(f->map != MAP_FAILED);
    madvise(f->map, (PAGES + 2) * f->page, MADV_NOHUGEPAGE);
    f->mem = (FixedRamMemory) {
        .host = f->map + f->page,
        .length = PAGES * f->page,
        .shared = shared,
        .fd = fd,
        .fd_offset = 2 * f->page,
    };
    f->map[0] = f->map[(PAGES + 1) * f->page] = 1;
}

static void teardown(Fixture *f)
{
    munmap(f->map, (PAGES + 2) * f->page);
    if (f->mem.fd >= 0) {
        close(f->mem.fd);
    }
    set_way(SCAN);
}

static void write_page(Fixture *f, size_t page)
{
    f->map[(page + 1) * f->page] = 1;
    f->expected[page] = NEEDED;
}

static void expect_all(Fixture *f, uint8_t what)
{
    memset(f->expected, what, sizeof(f->expected));
}

/* Which pages are in page tables, or in the page cache. */
static void look(const Fixture *f, unsigned char *vec)
{
    g_assert_cmpint(mincore((void *)f->mem.host, f->mem.length, vec), ==, 0);
    for (size_t i = 0; i < PAGES; i++) {
        vec[i] &= 1;
    }
}

static void check_part(const Fixture *f, const FixedRamPopulated *populated,
                       size_t first, size_t n)
{
    g_autofree unsigned long *pages = bitmap_new(PAGES + 1);

    /* Old content of the answer, and bits that are not part of it. */
    bitmap_set(pages, n / 2, PAGES + 1 - n / 2);
    fixed_ram_populated_get(populated, first * f->page, n * f->page, pages);
    for (size_t i = 0; i < n; i++) {
        if (f->expected[first + i] != EITHER &&
            test_bit(i, pages) != f->expected[first + i]) {
            g_test_message("page %zu of the %zu from %zu on", i, n, first);
            g_test_fail();
            return;
        }
    }
    /* The rest of the last word is undefined, the next word is untouched. */
    for (size_t i = ROUND_UP(n, BITS_PER_LONG); i <= PAGES; i++) {
        g_assert_true(test_bit(i, pages));
    }
}

/* Nothing that may hold data is passed over, and no more if that is known. */
static void check_next(const Fixture *f, const FixedRamPopulated *populated,
                       size_t first, size_t end)
{
    uint64_t next = fixed_ram_populated_next(populated, first * f->page,
                                             end * f->page);
    size_t page = next / f->page;

    g_assert_true(QEMU_IS_ALIGNED(next, f->page));
    g_assert_cmpuint(page, >=, first);
    g_assert_cmpuint(page, <=, end);
    g_assert_null(memchr(f->expected + first, NEEDED, page - first));
    if (getenv(FIXED_RAM_NO_PAGEMAP_SCAN)) {
        g_assert_cmpuint(page, ==, first);
    } else if (page < end) {
        g_assert_cmpuint(f->expected[page], !=, EMPTY);
    }
}

static void check(const Fixture *f)
{
    FixedRamPopulated *populated = fixed_ram_populated_new(&f->mem, f->page);
    unsigned char before[PAGES], after[PAGES];
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    look(f, before);
    check_part(f, populated, 0, PAGES);
    check_next(f, populated, 0, PAGES);
    for (int i = 0; i < 200; i++) {
        size_t first = g_rand_int_range(rand, 0, PAGES);
        size_t n = g_rand_int_range(rand, 1, PAGES - first + 1);

        check_part(f, populated, first, n);
        check_next(f, populated, first, first + n);
    }
    look(f, after);
    g_assert_cmpmem(before, PAGES, after, PAGES);
    fixed_ram_populated_free(populated);
}

/* Private memory with more runs of pages than one call returns. */
static void test_private(const void *opaque)
{
    Way way = GPOINTER_TO_INT(opaque);
    Fixture f;

    set_way(way);
    setup(&f, -1, false);
    check(&f);
    for (size_t i = 0; i < PAGES - 100; i += 1 + i % 3) {
        write_page(&f, i);
    }
    check(&f);
    /* Give pages back to the kernel. */
    madvise((void *)(f.mem.host + 10 * f.page), 50 * f.page, MADV_DONTNEED);
    memset(f.expected + 10, EMPTY, 50);
    check(&f);
    /* For a page that was only read some kernels take their zero page. */
    g_assert_cmpint(f.mem.host[(PAGES - 10) * f.page], ==, 0);
    f.expected[PAGES - 10] = EITHER;
    check(&f);
    teardown(&f);
}

/* A kernel that does not show its page tables. */
static void test_blind(void)
{
    Fixture f;

    set_way(BLIND);
    setup(&f, -1, false);
    expect_all(&f, NEEDED);
    check(&f);
    teardown(&f);
    set_way(BLIND);
    setup(&f, memfd_create("blind", MFD_CLOEXEC), false);
    expect_all(&f, NEEDED);
    check(&f);
    teardown(&f);
}

/* Other processes may have written pages that we have never accessed. */
static void test_shared(void)
{
    int fd = memfd_or_skip("shared");
    Fixture f;

    if (fd < 0) {
        return;
    }
    setup(&f, fd, true);
    check(&f);
    for (size_t i = 3; i < PAGES; i += 7) {
        write_page(&f, i);
    }
    for (size_t i = 4; i < PAGES; i += 70) {
        g_assert_cmpint(pwrite(fd, "x", 1, f.mem.fd_offset + i * f.page + 5),
                        ==, 1);
        f.expected[i] = NEEDED;
    }
    check(&f);
    g_assert_cmpint(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              f.mem.fd_offset, 100 * f.page), ==, 0);
    memset(f.expected, EMPTY, 100);
    check(&f);
    /* Without PAGEMAP_SCAN the kernel may be too old. */
    set_way(LIST);
    expect_all(&f, NEEDED);
    check(&f);
    teardown(&f);
}

/* Pages of the file, and pages of our own that replace some. */
static void test_private_file(void)
{
    int fd = memfd_or_skip("private");
    Fixture f;

    if (fd < 0) {
        return;
    }
    setup(&f, fd, false);
    for (size_t i = 3; i < PAGES; i += 7) {
        write_page(&f, i);
    }
    for (size_t i = 4; i < PAGES; i += 70) {
        g_assert_cmpint(pwrite(fd, "x", 1, f.mem.fd_offset + i * f.page), ==,
                        1);
        f.expected[i] = NEEDED;
    }
    check(&f);
    /* What is ours stays when the file's pages go. */
    g_assert_cmpint(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              f.mem.fd_offset, 100 * f.page), ==, 0);
    f.expected[4] = f.expected[74] = EMPTY;
    check(&f);
    teardown(&f);
}

/* The mapping goes beyond the end of the file. */
static void test_short_file(void)
{
    int fd = memfd_or_skip("short");
    Fixture f;

    if (fd < 0) {
        return;
    }
    setup(&f, fd, true);
    write_page(&f, 0);
    write_page(&f, 700);
    g_assert_cmpint(ftruncate(fd, f.mem.fd_offset + 100 * f.page), ==, 0);
    memset(f.expected + 1, EMPTY, PAGES - 1);
    check(&f);
    teardown(&f);
}

/* The kernel may have swapped out pages: no table says so. */
static void test_shared_without_file(void)
{
    Fixture f;

    setup(&f, -1, true);
    expect_all(&f, NEEDED);
    check(&f);
    teardown(&f);
}

/* Other file systems are not asked: all pages may hold data. */
static void test_disk(const void *opaque)
{
    bool shared = GPOINTER_TO_INT(opaque);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-populated-XXXXXX", &path, NULL);
    struct statfs fs;
    Fixture f;

    g_assert_cmpint(fd, >=, 0);
    unlink(path);
    g_assert_cmpint(fstatfs(fd, &fs), ==, 0);
    if (fs.f_type == TMPFS_MAGIC) {
        g_test_skip("temporary files lie in a tmpfs");
        close(fd);
        return;
    }
    setup(&f, fd, shared);
    expect_all(&f, NEEDED);
    check(&f);
    teardown(&f);
}

/* A device's node lies in a tmpfs, but the device has no holes. */
static void test_device(void)
{
    int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
    FixedRamMemory mem = { .length = 64 * MiB, .shared = true, .fd = fd };
    uint64_t pages = mem.length / qemu_real_host_page_size();
    g_autofree unsigned long *found = bitmap_new(pages);
    FixedRamPopulated *populated;
    void *map;

    g_assert_cmpint(fd, >=, 0);
    map = mmap(NULL, mem.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert(map != MAP_FAILED);
    mem.host = map;
    populated = fixed_ram_populated_new(&mem, qemu_real_host_page_size());
    fixed_ram_populated_get(populated, 0, mem.length / 2, found);
    fixed_ram_populated_get(populated, mem.length / 2, mem.length / 2,
                            found + BIT_WORD(pages / 2));
    g_assert_cmpuint(bitmap_count_one(found, pages), ==, pages);
    fixed_ram_populated_free(populated);
    munmap(map, mem.length);
    close(fd);
}

/* The descriptor no longer answers: it has become that of a pipe. */
static void test_no_answer(void)
{
    int fds[2], fd = memfd_or_skip("answer");
    FixedRamPopulated *populated;
    Fixture f;

    if (fd < 0) {
        return;
    }
    g_assert_cmpint(pipe(fds), ==, 0);
    setup(&f, fd, true);
    populated = fixed_ram_populated_new(&f.mem, f.page);
    check_part(&f, populated, 0, PAGES);
    g_assert_cmpint(dup2(fds[0], fd), ==, fd);
    expect_all(&f, NEEDED);
    check_part(&f, populated, 0, PAGES);
    g_assert_cmpuint(fixed_ram_populated_next(populated, 0, f.mem.length), ==,
                     0);
    fixed_ram_populated_free(populated);
    check(&f);
    close(fds[0]);
    close(fds[1]);
    teardown(&f);
}

/* Pages of the guest are smaller than those of the host. */
static void test_small_pages(void)
{
    DECLARE_BITMAP(pages, 8 * PAGES);
    FixedRamPopulated *populated;
    Fixture f;

    setup(&f, -1, false);
    write_page(&f, 5);
    populated = fixed_ram_populated_new(&f.mem, f.page / 4);
    fixed_ram_populated_get(populated, 0, f.mem.length, pages);
    g_assert_cmpuint(find_first_bit(pages, 4 * PAGES), ==, 20);
    g_assert_cmpuint(find_next_zero_bit(pages, 4 * PAGES, 20), ==, 24);
    g_assert_cmpuint(find_next_bit(pages, 4 * PAGES, 24), ==, 4 * PAGES);
    g_assert_cmpuint(fixed_ram_populated_next(populated, 0, f.mem.length), ==,
                     5 * f.page);
    g_assert_cmpuint(fixed_ram_populated_next(populated, 21 * f.page / 4,
                                              f.mem.length), ==,
                     21 * f.page / 4);
    g_assert_cmpuint(fixed_ram_populated_next(populated, 6 * f.page,
                                              f.mem.length), ==, f.mem.length);
    fixed_ram_populated_free(populated);
    teardown(&f);
}

/* Pages of the guest are larger than those of the host. */
static void test_large_pages(void)
{
    FixedRamPopulated *populated;
    Fixture f;

    setup(&f, -1, false);
    write_page(&f, 7);
    populated = fixed_ram_populated_new(&f.mem, 4 * f.page);
    g_assert_cmpuint(fixed_ram_populated_next(populated, 0, f.mem.length), ==,
                     4 * f.page);
    g_assert_cmpuint(fixed_ram_populated_next(populated, 4 * f.page,
                                              f.mem.length), ==, 4 * f.page);
    fixed_ram_populated_free(populated);
    teardown(&f);
}

static size_t count_resident(const Fixture *f)
{
    unsigned char vec[PAGES];
    size_t n = 0;

    look(f, vec);
    for (size_t i = 0; i < PAGES; i++) {
        n += vec[i];
    }
    return n;
}

/*
 * The parts of a bitmap wherever it lies in a page of the host, and nothing is
 * read that was never written.
 */
static void test_parts(const void *opaque)
{
    Way way = GPOINTER_TO_INT(opaque);
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());

    set_way(way);
    for (int i = 0; i < 100; i++) {
        size_t before = 8 * g_rand_int_range(rand, 0, 1024);
        size_t bytes = 8 * g_rand_int_range(rand, 1, PAGES * 4096 / 8 - 1024);
        g_autofree unsigned long *found = NULL;
        g_autofree unsigned long *want = NULL;
        unsigned long *bits;
        size_t resident;
        Fixture f;

        setup(&f, -1, false);
        bits = (unsigned long *)(f.mem.host + before);
        for (int n = g_rand_int_range(rand, 0, 50); n; n--) {
            set_bit(g_rand_int_range(rand, 0, bytes * 8), bits);
        }
        set_bit(g_rand_boolean(rand) ? 0 : bytes * 8 - 1, bits);
        /* Not part of the bitmap, and a part that is zero again. */
        set_bit(bytes * 8, bits);
        clear_bit(g_rand_int_range(rand, 0, bytes * 8), bits);
        resident = count_resident(&f);
        found = fixed_ram_populated_parts(bits, bytes);
        if (way == SCAN) {
            /* A part may lie in two pages: beside each page are two others. */
            g_assert_cmpuint(count_resident(&f), <=, 3 * resident);
        }
        want = fixed_ram_sparse_scan(bits, bytes * 8);
        g_assert_true(bitmap_equal(found, want,
                                   fixed_ram_sparse_parts(bytes * 8)));
        munmap(f.map, (PAGES + 2) * f.page);
    }
    set_way(SCAN);
}

/* Some pages have yet to get their content: they count as if they had it. */
static void test_absent(void)
{
    unsigned long absent[BITS_TO_LONGS(PAGES)] = { 0 };
    unsigned long pages[2];
    FixedRamPopulated *p;
    Fixture f;

    setup(&f, -1, false);
    f.mem.absent = absent;
    f.map[201 * f.page] = 1;
    set_bit(3, absent);
    bitmap_set(absent, 127, 2);
    p = fixed_ram_populated_new(&f.mem, f.page);
    fixed_ram_populated_get(p, 0, 128 * f.page, pages);
    g_assert_cmpuint(find_first_bit(pages, 128), ==, 3);
    g_assert_cmpuint(find_next_bit(pages, 128, 4), ==, 127);
    fixed_ram_populated_get(p, 128 * f.page, 128 * f.page, pages);
    g_assert_cmpuint(find_first_bit(pages, 128), ==, 0);
    g_assert_cmpuint(find_next_bit(pages, 128, 1), ==, 72);
    g_assert_cmpuint(fixed_ram_populated_next(p, 4 * f.page, 300 * f.page),
                     ==, 127 * f.page);
    g_assert_cmpuint(fixed_ram_populated_next(p, 129 * f.page, 300 * f.page),
                     ==, 200 * f.page);
    g_assert_cmpuint(fixed_ram_populated_next(p, 201 * f.page, 300 * f.page),
                     ==, 300 * f.page);
    g_assert_false(fixed_ram_populated_any(p, 0, 200 * f.page));
    g_assert_true(fixed_ram_populated_any(p, 0, 201 * f.page));
    fixed_ram_populated_free(p);
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/fixed-ram/populated/private/scan",
                         GINT_TO_POINTER(SCAN), test_private);
    g_test_add_data_func("/fixed-ram/populated/private/list",
                         GINT_TO_POINTER(LIST), test_private);
    g_test_add_func("/fixed-ram/populated/blind", test_blind);
    g_test_add_func("/fixed-ram/populated/shared", test_shared);
    g_test_add_func("/fixed-ram/populated/private-file", test_private_file);
    g_test_add_func("/fixed-ram/populated/short-file", test_short_file);
    g_test_add_func("/fixed-ram/populated/shared-without-file",
                    test_shared_without_file);
    g_test_add_data_func("/fixed-ram/populated/disk/shared",
                         GINT_TO_POINTER(true), test_disk);
    g_test_add_data_func("/fixed-ram/populated/disk/private",
                         GINT_TO_POINTER(false), test_disk);
    g_test_add_func("/fixed-ram/populated/device", test_device);
    g_test_add_func("/fixed-ram/populated/absent", test_absent);
    g_test_add_func("/fixed-ram/populated/no-answer", test_no_answer);
    g_test_add_func("/fixed-ram/populated/small-pages", test_small_pages);
    g_test_add_func("/fixed-ram/populated/large-pages", test_large_pages);
    g_test_add_data_func("/fixed-ram/populated/parts/scan",
                         GINT_TO_POINTER(SCAN), test_parts);
    g_test_add_data_func("/fixed-ram/populated/parts/list",
                         GINT_TO_POINTER(LIST), test_parts);
    g_test_add_data_func("/fixed-ram/populated/parts/blind",
                         GINT_TO_POINTER(BLIND), test_parts);
    return g_test_run();
}
