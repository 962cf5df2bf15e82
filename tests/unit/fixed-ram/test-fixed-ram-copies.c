/*
 * fixed-ram: unit tests of finding pages that were written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "migration/fixed-ram/engine/copies.h"
#include "migration/fixed-ram/util/pagemap.h"

#define PAGES       400

typedef struct Fixture {
    int pagemap;
    size_t page;                /* bytes */
    uint8_t *host;              /* a private mapping of a file */
} Fixture;

/* Returns false if this kernel does not tell. */
static bool setup(Fixture *f)
{
    g_autofree char *path = NULL;
    FixedRamCopies copies[1];
    uint8_t *at;
    int fd;

    f->page = qemu_real_host_page_size();
    f->pagemap = fixed_ram_copies_open();
    fd = g_file_open_tmp("fixed-ram-copies-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    unlink(path);
    g_assert_cmpint(ftruncate(fd, PAGES * f->page), ==, 0);
    f->host = mmap(NULL, PAGES * f->page, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                   fd, 0);
    g_assert_true(f->host != MAP_FAILED);
    close(fd);
    at = f->host;
    if (fixed_ram_copies_find(f->pagemap, &at, f->host + PAGES * f->page,
                              copies, 1) == 0) {
        return true;
    }
    g_test_skip("this kernel has no PAGEMAP_SCAN");
    return false;
}

static void teardown(Fixture *f)
{
    munmap(f->host, PAGES * f->page);
    if (f->pagemap >= 0) {
        close(f->pagemap);
    }
}

/* Finds all, @n ranges at a time, and compares with @written. */
static void check(const Fixture *f, const bool *written, size_t n)
{
    uint8_t *at = f->host, *end = f->host + PAGES * f->page;
    FixedRamCopies copies[PAGES];
    size_t page = 0;

    while (at < end) {
        ssize_t found = fixed_ram_copies_find(f->pagemap, &at, end, copies, n);

        g_assert_cmpint(found, >=, 0);
        g_assert_cmpint(found, <=, n);
        for (ssize_t i = 0; i < found; i++) {
            for (; f->host + page * f->page < copies[i].start; page++) {
                g_assert_false(written[page]);
            }
            for (; f->host + page * f->page < copies[i].end; page++) {
                g_assert_true(written[page]);
            }
        }
    }
    for (; page < PAGES; page++) {
        g_assert_false(written[page]);
    }
}

static void test_find(void)
{
    bool written[PAGES] = { };
    Fixture f;

    if (setup(&f)) {
        for (size_t page = 0; page < PAGES; page++) {
            /* Pages that are only read are not copies. */
            g_assert_cmpint(qatomic_read(&f.host[page * f.page]), ==, 0);
            if (page % 7 < 2 || page > 380) {
                f.host[page * f.page] = 1;
                written[page] = true;
            }
        }
        check(&f, written, PAGES);
        check(&f, written, 3);
        check(&f, written, 1);
    }
    teardown(&f);
}

/*
 * For a page that was only read some kernels take their zero page, and others a
 * page of its own, which looks like any page that was written to.
 */
static bool reads_take_pages(const Fixture *f)
{
    uint8_t *page = mmap(NULL, f->page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *at = page;
    FixedRamCopies copies[1];
    bool found;

    g_assert_true(page != MAP_FAILED);
    g_assert_cmpint(qatomic_read(page), ==, 0);
    found = fixed_ram_copies_find(f->pagemap, &at, page + f->page, copies, 1);
    munmap(page, f->page);
    return found;
}

/* Anonymous memory inside a mapping: what was touched, and what was not. */
static void test_anonymous(void)
{
    bool written[PAGES] = { };
    uint8_t *cover;
    Fixture f;

    if (setup(&f)) {
        cover = f.host + 100 * f.page;
        g_assert_true(mmap(cover, 50 * f.page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                      cover);
        g_assert_cmpint(qatomic_read(&cover[f.page]), ==, 0);
        cover[3 * f.page] = 1;
        f.host[99 * f.page] = 1;
        written[103] = written[99] = true;
        written[101] = reads_take_pages(&f);
        check(&f, written, PAGES);
    }
    teardown(&f);
}

static void test_refused(void)
{
    static const char *const names[] = {
        FIXED_RAM_NO_PAGEMAP, FIXED_RAM_NO_PAGEMAP_SCAN,
    };
    FixedRamCopies copies[1];
    uint8_t bytes[1], *at = bytes;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_setenv(names[i], "1", true);
        g_assert_cmpint(fixed_ram_copies_open(), ==, -1);
        g_unsetenv(names[i]);
    }
    g_assert_cmpint(fixed_ram_copies_find(-1, &at, bytes + 1, copies, 1), <, 0);
    g_assert_true(at == bytes);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/copies/find", test_find);
    g_test_add_func("/fixed-ram/copies/anonymous", test_anonymous);
    g_test_add_func("/fixed-ram/copies/refused", test_refused);
    return g_test_run();
}
