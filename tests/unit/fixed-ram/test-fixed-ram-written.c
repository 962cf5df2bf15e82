/*
 * fixed-ram: unit tests of what was written to in a mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "mapping-rig.h"
#include "migration/fixed-ram/engine/restore.h"
#include "migration/fixed-ram/engine/written.h"
#include "migration/fixed-ram/util/pagemap.h"

#define UNIT            (16 * PAGE)
#define TRIES           10000           /* for about ten seconds */

/* @expected: the numbers of units of the block, as "3 17" */
static void assert_written(const MappingRig *f, const char *expected)
{
    uint64_t units = LENGTH / UNIT;
    g_autofree unsigned long *written = bitmap_new(units);
    g_autoptr(GString) found = g_string_new(NULL);

    g_assert_true(fixed_ram_mapping_written(f->mapping, f->host, UNIT,
                                            written));
    for (uint64_t i = find_first_bit(written, units); i < units;
         i = find_next_bit(written, units, i + 1)) {
        g_string_append_printf(found, "%s%" PRIu64, found->len ? " " : "", i);
    }
    g_assert_cmpstr(found->str, ==, expected);
}

static void ignore_changed(const char *name, uint64_t offset, uint64_t length)
{
}

/* A read is no write; nor has the file to be read. */
static void test_written(void)
{
    uint8_t *page;
    MappingRig f;

    mapping_setup(&f, mapping_ends, true);
    mapping_map(&f, false, MANY);
    assert_written(&f, "");
    mapping_check(&f, f.host);
    /* Of memory that is no file's, the kernel may count a read as a write. */
    mapping_teardown(&f);

    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, false, MANY);
    mapping_check(&f, f.host);
    assert_written(&f, "");
    f.host[0] = 1;
    f.host[LENGTH - 1] = 1;
    memset(f.host + 15 * PAGE, 2, 18 * PAGE);
    assert_written(&f, "0 1 2 127");
    g_assert_cmpint(fixed_ram_mapping_discard(f.mapping, f.host + 50 * UNIT,
                                              PAGE), ==, 0);
    page = f.host + 60 * UNIT - PAGE;
    g_assert_true(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                       MAP_FIXED | MAP_ANONYMOUS, -1, 0) == page);
    fixed_ram_mapping_replaced(f.mapping, page, PAGE);
    assert_written(&f, "0 1 2 50 59 127");
    g_assert_true(fixed_ram_mapping_restore(f.mapping, ignore_changed,
                                            &error_abort));
    assert_written(&f, "");
    mapping_teardown(&f);
}

/* In the pages that a cover replaces, too: at least the page itself. */
static void test_written_cover(void)
{
    g_autofree unsigned long *written = bitmap_new(PAGES);
    MappingRig f;

    mapping_setup(&f, mapping_none, true);
    mapping_map(&f, false, MANY);
    assert_written(&f, "");
    f.host[33 * PAGE + 7] = 1;
    g_assert_true(fixed_ram_mapping_written(f.mapping, f.host, PAGE, written));
    g_assert_true(test_bit(33, written));
    mapping_teardown(&f);
}

/* If the kernel does not tell, all may have been written to. */
static void test_written_no_scan(void)
{
    g_autofree unsigned long *written = bitmap_new(PAGES);
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, false, MANY);
    g_assert_false(fixed_ram_mapping_written(f.mapping, f.host + PAGE, PAGE,
                                             written));
    g_setenv(FIXED_RAM_NO_PAGEMAP_SCAN, "1", true);
    g_assert_true(fixed_ram_mapping_written(f.mapping, f.host, PAGE, written));
    g_assert_true(bitmap_full(written, PAGES));
    g_unsetenv(FIXED_RAM_NO_PAGEMAP_SCAN);
    fixed_ram_mapping_forget(f.mapping, f.host);
    g_assert_false(fixed_ram_mapping_written(f.mapping, f.host, PAGE,
                                             written));
    mapping_teardown(&f);
}

/* Is the file's page of that page of the block in the page cache? */
static bool is_cached(const MappingRig *f, uint64_t page)
{
    void *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, f->fd,
                     PAGES_OFFSET + page * PAGE);
    unsigned char state;

    g_assert_true(map != MAP_FAILED);
    g_assert_cmpint(mincore(map, PAGE, &state), ==, 0);
    munmap(map, PAGE);
    return state & 1;
}

static void drop_from_cache(const MappingRig *f)
{
    g_assert_cmpint(fsync(f->fd), ==, 0);
    g_assert_cmpint(posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED), ==, 0);
}

/* Pages in the units beside the written ones, and one far away. */
static const uint64_t untouched[] = { 31, 48, 111, 128, 1001 };

static bool any_untouched_cached(const MappingRig *f)
{
    for (size_t i = 0; i < G_N_ELEMENTS(untouched); i++) {
        if (is_cached(f, untouched[i])) {
            return true;
        }
    }
    return false;
}

static void wait_cached(const MappingRig *f, uint64_t unit)
{
    uint64_t first = unit * UNIT / PAGE;

    for (uint64_t page = first; page < first + UNIT / PAGE; page++) {
        for (unsigned i = 0; i < TRIES && !is_cached(f, page); i++) {
            g_usleep(1000);
        }
        g_assert_true(is_cached(f, page));
    }
}

/* False, and the test is skipped, where files cannot be dropped. */
static bool set_up_uncached(MappingRig *f)
{
    mapping_setup(f, mapping_all, false);
    mapping_map(f, false, MANY);
    drop_from_cache(f);
    if (any_untouched_cached(f)) {
        g_test_skip("the file system has no page cache to drop files from");
        mapping_teardown(f);
        return false;
    }
    return true;
}

/* The rest of written units is read ahead, and from then on nothing else. */
static void test_written_read_ahead(void)
{
    MappingRig f;

    if (!set_up_uncached(&f)) {
        return;
    }
    f.host[37 * PAGE] = 1;
    f.host[41 * PAGE] = 1;
    f.host[112 * PAGE] = 1;
    g_assert_false(is_cached(&f, 36));
    fixed_ram_mapping_expect(f.mapping, true);
    assert_written(&f, "2 7");
    wait_cached(&f, 2);
    wait_cached(&f, 7);
    g_assert_false(any_untouched_cached(&f));
    g_assert_cmphex(f.host[1000 * PAGE], ==, mapping_content(1000));
    g_assert_false(is_cached(&f, 1001));
    mapping_teardown(&f);
}

/* If most was written to, what else is read is still read in order. */
static void test_written_most(void)
{
    g_autofree unsigned long *written = bitmap_new(LENGTH / UNIT);
    MappingRig f;

    if (!set_up_uncached(&f)) {
        return;
    }
    memset(f.host + LENGTH / 4, 1, LENGTH / 4 * 3);
    drop_from_cache(&f);
    g_assert_false(is_cached(&f, 1));
    fixed_ram_mapping_expect(f.mapping, true);
    g_assert_true(fixed_ram_mapping_written(f.mapping, f.host, UNIT, written));
    g_assert_cmphex(f.host[0], ==, mapping_content(0));
    g_assert_true(is_cached(&f, 1));
    mapping_teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/written/units", test_written);
    g_test_add_func("/fixed-ram/written/cover", test_written_cover);
    g_test_add_func("/fixed-ram/written/no-scan", test_written_no_scan);
    g_test_add_func("/fixed-ram/written/read-ahead", test_written_read_ahead);
    g_test_add_func("/fixed-ram/written/most", test_written_most);
    return g_test_run();
}
