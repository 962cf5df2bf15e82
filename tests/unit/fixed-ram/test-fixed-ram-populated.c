/*
 * fixed-ram: unit tests of finding out which pages hold something
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/utsname.h>
#include "qemu/bitmap.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "migration/fixed-ram/save/populated.h"

#define PAGES   1024
#define NEEDED  1               /* pages that must not be said to be empty */
#define EMPTY   0               /* those that must be */
#define EITHER  2

typedef struct Fixture {
    size_t page;
    uint8_t *map;               /* with a page before and one behind */
    FixedRamMemory mem;
    uint8_t expected[PAGES];    /* of each page */
} Fixture;

typedef enum Way { SCAN, LIST, BLIND } Way;

/* -1: its holes are not to be relied on, all has to be read. */
static int memfd_or_skip(const char *name)
{
    unsigned major = 0, minor = 0;
    struct utsname host;
    int fd;

    g_assert_cmpint(uname(&host), ==, 0);
    sscanf(host.release, "%u.%u", &major, &minor);
    if (major < 6 || (major == 6 && minor < 4)) {
        g_test_skip("this kernel's tmpfs is not relied on");
        return -1;
    }
    fd = memfd_create(name, MFD_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
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
    /* What is mapped is not the file's beginning. */
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

/* As the kernel says without us: what is in page tables, or the page cache. */
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

    /* What was there, and what is not asked for. */
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
    /* The rest of a word is nobody's, the next one is. */
    for (size_t i = ROUND_UP(n, BITS_PER_LONG); i <= PAGES; i++) {
        g_assert_true(test_bit(i, pages));
    }
}

static void check(const Fixture *f)
{
    FixedRamPopulated *populated = fixed_ram_populated_new(&f->mem, f->page);
    unsigned char before[PAGES], after[PAGES];
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    look(f, before);
    check_part(f, populated, 0, PAGES);
    for (int i = 0; i < 200; i++) {
        size_t first = g_rand_int_range(rand, 0, PAGES);

        check_part(f, populated, first,
                   g_rand_int_range(rand, 1, PAGES - first + 1));
    }
    look(f, after);
    g_assert_cmpmem(before, PAGES, after, PAGES);
    fixed_ram_populated_free(populated);
}

/* Memory of our own; no kernel can say it in one piece. */
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
    /* Given back. */
    madvise((void *)(f.mem.host + 10 * f.page), 50 * f.page, MADV_DONTNEED);
    memset(f.expected + 10, EMPTY, 50);
    check(&f);
    /* The kernel has a page of zeros for whom has only looked. */
    g_assert_cmpint(f.mem.host[(PAGES - 10) * f.page], ==, 0);
    f.expected[PAGES - 10] = way == SCAN ? EMPTY : EITHER;
    check(&f);
    teardown(&f);
}

/* A kernel that does not say anything. */
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

/* Others may have written what we have never seen. */
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
    /* Without page tables, too. */
    set_way(BLIND);
    check(&f);
    teardown(&f);
}

/* What the file has, and what was written over it. */
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
    teardown(&f);
}

/* It ends, and what is mapped does not. */
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

/* There may have been more, and it was swapped out. */
static void test_shared_without_file(void)
{
    Fixture f;

    setup(&f, -1, true);
    expect_all(&f, NEEDED);
    check(&f);
    teardown(&f);
}

/* On a disk: what was written is there, whatever this file system knows. */
static void test_disk(const void *opaque)
{
    bool shared = GPOINTER_TO_INT(opaque);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-populated-XXXXXX", &path, NULL);
    Fixture f;

    g_assert_cmpint(fd, >=, 0);
    unlink(path);
    setup(&f, fd, shared);
    expect_all(&f, EITHER);
    for (size_t i = 3; i < PAGES; i += 7) {
        write_page(&f, i);
    }
    g_assert_cmpint(pwrite(fd, "x", 1, f.mem.fd_offset + 5 * f.page), ==, 1);
    f.expected[5] = NEEDED;
    check(&f);
    g_assert_cmpint(fsync(fd), ==, 0);
    check(&f);
    teardown(&f);
}

/* A device's node lies in a tmpfs, and seeking in it leads nowhere. */
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

/* A pipe tells nothing, nor does what was a file before. */
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
    fixed_ram_populated_free(populated);
    check(&f);
    close(fds[0]);
    close(fds[1]);
    teardown(&f);
}

/* As many pages of the guest are one of the host. */
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
    fixed_ram_populated_free(populated);
    teardown(&f);
}

#ifndef MFD_HUGE_2MB
#define MFD_HUGE_2MB    (21U << 26)
#endif
#define HUGE            (2 * MiB)

static void check_huge(const FixedRamMemory *mem, unsigned long expected)
{
    FixedRamPopulated *populated = fixed_ram_populated_new(mem, HUGE);
    unsigned long pages;

    fixed_ram_populated_get(populated, 0, mem->length, &pages);
    g_assert_cmphex(pages, ==, expected);
    fixed_ram_populated_free(populated);
}

static void test_huge(const void *opaque)
{
    bool shared = GPOINTER_TO_INT(opaque);
    FixedRamMemory mem = { .length = 4 * HUGE, .shared = shared };
    uint8_t *map, *other;

    mem.fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB |
                                  MFD_HUGE_2MB);
    if (mem.fd < 0 || ftruncate(mem.fd, mem.length)) {
        g_test_skip("there are no huge pages");
        return;
    }
    map = mmap(NULL, mem.length, PROT_READ | PROT_WRITE,
               shared ? MAP_SHARED : MAP_PRIVATE, mem.fd, 0);
    if (map == MAP_FAILED) {
        g_test_skip("there are no huge pages left");
        close(mem.fd);
        return;
    }
    mem.host = map;
    check_huge(&mem, 0);
    map[HUGE] = 1;
    check_huge(&mem, 2);
    /* Where another mapping has written cannot be told. */
    other = mmap(NULL, mem.length, PROT_READ | PROT_WRITE, MAP_SHARED, mem.fd,
                 0);
    g_assert(other != MAP_FAILED);
    other[3 * HUGE] = 1;
    check_huge(&mem, 0xf);
    munmap(other, mem.length);
    munmap(map, mem.length);
    close(mem.fd);
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
    g_test_add_func("/fixed-ram/populated/no-answer", test_no_answer);
    g_test_add_func("/fixed-ram/populated/small-pages", test_small_pages);
    g_test_add_data_func("/fixed-ram/populated/huge/shared",
                         GINT_TO_POINTER(true), test_huge);
    g_test_add_data_func("/fixed-ram/populated/huge/private",
                         GINT_TO_POINTER(false), test_huge);
    return g_test_run();
}
