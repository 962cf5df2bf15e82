/*
 * fixed-ram: unit tests of memory that is a mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "blocks.h"
#include "migration/fixed-ram/engine/mapping.h"
#include "migration/fixed-ram/engine/restore.h"
#include "migration/fixed-ram/engine/written.h"
#include "migration/fixed-ram/util/pagemap.h"

#define PAGES           2048ULL         /* of the block; four extents */
#define LENGTH          (PAGES * PAGE)
#define PAGES_OFFSET    (3 * PAGE)      /* of the block in the file */
#define OLD             0xee            /* bytes in the place of zero pages */
#define MANY            1000            /* more covers than a test needs */

typedef struct Fixture {
    int fd;
    FixedRamSource *source;     /* of the same file */
    FixedRamMap *map;
    FixedRamBlock *block;
    uint8_t *host;              /* the guest's memory, at first anonymous */
    FixedRamMapping *mapping;
} Fixture;

static uint8_t content_of(uint64_t page)
{
    return 1 + page % 199;
}

static void write_page(const Fixture *f, uint64_t page, uint8_t value)
{
    uint8_t bytes[PAGE];

    memset(bytes, value, PAGE);
    g_assert_cmpint(pwrite(f->fd, bytes, PAGE, PAGES_OFFSET + page * PAGE), ==,
                    PAGE);
}

/* Every page with data is in the file; @old: the others have old bytes. */
static void write_file(const Fixture *f, bool old)
{
    g_assert_cmpint(ftruncate(f->fd, PAGES_OFFSET + LENGTH), ==, 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        if (test_bit(page, f->block->data)) {
            write_page(f, page, content_of(page));
        } else if (old) {
            write_page(f, page, OLD);
        }
    }
}

static void *new_memory(void)
{
    void *host = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(host != MAP_FAILED);
    memset(host, 0x55, LENGTH);
    return host;
}

/* @holds: has this page data? */
static void setup(Fixture *f, bool (*holds)(uint64_t page), bool old)
{
    g_autofree char *path = NULL;

    *f = (Fixture) { };
    f->fd = g_file_open_tmp("fixed-ram-mapping-XXXXXX", &path, NULL);
    g_assert_cmpint(f->fd, >=, 0);
    f->map = fixed_ram_map_new();
    f->block = block_new("ram", PAGES, PAGE);
    f->block->pages_offset = PAGES_OFFSET;
    for (uint64_t page = 0; page < PAGES; page++) {
        if (holds(page)) {
            set_bit(page, f->block->data);
        }
    }
    fixed_ram_map_add(f->map, f->block);
    write_file(f, old);
    f->source = fixed_ram_source_open_file(path, 0, ON_OFF_AUTO_OFF,
                                           &error_abort);
    unlink(path);
    f->host = new_memory();
}

static void teardown(Fixture *f)
{
    fixed_ram_mapping_free(f->mapping);
    munmap(f->host, LENGTH);
    fixed_ram_source_unref(f->source);
    close(f->fd);
    fixed_ram_map_free(f->map);
}

static void map_memory(Fixture *f, bool clean, size_t limit)
{
    static const FixedRamMappingAdvice advice = { .dump = true, .merge = true };

    f->mapping = fixed_ram_mapping_new(f->map, f->source, clean, limit,
                                       &error_abort);
    g_assert_true(fixed_ram_mapping_apply(f->mapping, 0, f->host, false,
                                          &advice, &error_abort));
}

static void expect_refused(const Fixture *f, bool clean, size_t limit,
                           const char *words)
{
    g_autoptr(FixedRamMapping) mapping = NULL;
    Error *err = NULL;

    mapping = fixed_ram_mapping_new(f->map, f->source, clean, limit, &err);
    g_assert_null(mapping);
    g_assert_nonnull(strstr(error_get_pretty(err), words));
    error_free(err);
}

static bool page_is(const uint8_t *page, uint8_t value)
{
    return page[0] == value && !memcmp(page, page + 1, PAGE - 1);
}

static void check_memory(const Fixture *f, const uint8_t *host)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        uint8_t value = test_bit(page, f->block->data) ? content_of(page) : 0;

        g_assert_true(page_is(host + page * PAGE, value));
    }
}

static char *file_sum(const Fixture *f)
{
    g_autofree uint8_t *bytes = g_malloc(PAGES_OFFSET + LENGTH);

    g_assert_cmpint(pread(f->fd, bytes, PAGES_OFFSET + LENGTH, 0), ==,
                    PAGES_OFFSET + LENGTH);
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes,
                                       PAGES_OFFSET + LENGTH);
}

static bool every_third(uint64_t page)
{
    return page % 3 == 1;
}

static bool all(uint64_t page)
{
    return true;
}

static bool none(uint64_t page)
{
    return false;
}

/* The second and third extent are zero. */
static bool ends(uint64_t page)
{
    return page < PAGES / 4 || page >= PAGES * 3 / 4;
}

/*
 * What the memory holds
 */

static void check_content(bool (*holds)(uint64_t page), bool old)
{
    Fixture f;

    setup(&f, holds, old);
    map_memory(&f, !old, MANY);
    check_memory(&f, f.host);
    teardown(&f);
}

static void test_content(void)
{
    for (int old = 0; old <= 1; old++) {
        check_content(every_third, old);
        check_content(all, old);
        check_content(none, old);
        check_content(ends, old);
    }
}

/* Long zero runs are anonymous, so whatever the file has there is not seen. */
static void test_long_runs(void)
{
    Fixture f;

    setup(&f, ends, true);
    map_memory(&f, true, 1);
    check_memory(&f, f.host);
    teardown(&f);
}

static void test_writes(void)
{
    g_autofree char *before = NULL, *after = NULL;
    uint8_t *twin;
    Fixture f;

    setup(&f, every_third, true);
    before = file_sum(&f);
    twin = f.host;
    map_memory(&f, false, MANY);
    fixed_ram_mapping_free(f.mapping);
    f.host = new_memory();
    map_memory(&f, false, MANY);
    memset(f.host, 0xaa, LENGTH);
    check_memory(&f, twin);
    after = file_sum(&f);
    g_assert_cmpstr(before, ==, after);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_true(page_is(f.host + page * PAGE, 0xaa));
    }
    munmap(twin, LENGTH);
    teardown(&f);
}

/* "rr": the kernel expects random reads there, "sr": reads in order. */
static const char *advice_of(const uint8_t *host)
{
    g_autofree char *head = g_strdup_printf("%" PRIxPTR "-", (uintptr_t)host);
    g_autofree char *smaps = NULL;
    const char *mapping, *flags;

    g_assert_true(g_file_get_contents("/proc/self/smaps", &smaps, NULL,
                                      NULL));
    mapping = strstr(smaps, head);
    g_assert_nonnull(mapping);
    flags = strstr(mapping, "VmFlags:");
    g_assert_nonnull(flags);
    return g_strstr_len(flags, strcspn(flags, "\n"), " sr") ? "sr" :
           g_strstr_len(flags, strcspn(flags, "\n"), " rr") ? "rr" : "";
}

/* While a save reads the memory in order, the kernel reads ahead. */
static void test_expect(void)
{
    Fixture f;

    setup(&f, all, false);
    map_memory(&f, true, MANY);
    g_assert_cmpstr(advice_of(f.host), ==, "rr");
    fixed_ram_mapping_expect(f.mapping, true);
    g_assert_cmpstr(advice_of(f.host), ==, "sr");
    fixed_ram_mapping_expect(f.mapping, false);
    g_assert_cmpstr(advice_of(f.host), ==, "rr");
    fixed_ram_mapping_forget(f.mapping, f.host);
    fixed_ram_mapping_expect(f.mapping, true);
    g_assert_cmpstr(advice_of(f.host), ==, "rr");
    teardown(&f);
}

/*
 * What is refused
 */

static void test_limit(void)
{
    Fixture f;

    setup(&f, every_third, true);
    expect_refused(&f, false, PAGES / 3 - 1, "'qemu-snapshot convert'");
    map_memory(&f, false, PAGES / 3 + 1);
    teardown(&f);

    /* Clean, or with holes, nothing needs a cover. */
    setup(&f, every_third, false);
    map_memory(&f, true, 0);
    check_memory(&f, f.host);
    fixed_ram_mapping_free(f.mapping);
    map_memory(&f, false, 0);
    check_memory(&f, f.host);
    teardown(&f);

    /* Nor are covers of long runs needed. */
    setup(&f, ends, false);
    map_memory(&f, true, 0);
    check_memory(&f, f.host);
    teardown(&f);
}

static void test_places(void)
{
    Fixture f;

    setup(&f, all, false);
    f.block->pages_offset += 512;
    expect_refused(&f, true, MANY, "cannot map by its pages");
    f.block->pages_offset -= 512;
    f.block->page_size = 1024;
    expect_refused(&f, true, MANY, "cannot map by its pages");
    f.block->page_size = PAGE;
    teardown(&f);
}

/*
 * Memory that the guest gives back
 */

static void check_discard(Fixture *f, uint64_t page, uint64_t pages)
{
    uint8_t *at = f->host + page * PAGE;

    at[0] ^= 0xff;
    g_assert_true(fixed_ram_mapping_has(f->mapping, at, PAGE));
    g_assert_cmpint(fixed_ram_mapping_discard(f->mapping, at, pages * PAGE),
                    ==, 0);
    g_assert_true(buffer_is_zero(at, pages * PAGE));
    g_assert_true(page_is(at - PAGE, content_of(page - 1)));
    g_assert_true(page_is(at + pages * PAGE, content_of(page + pages)));
    at[0] = 7;
    g_assert_cmpint(at[0], ==, 7);
}

static void test_discard(void)
{
    g_autofree char *before = NULL, *after = NULL;
    Fixture f;

    setup(&f, all, false);
    before = file_sum(&f);
    map_memory(&f, true, MANY);
    check_discard(&f, 5, 1);
    check_discard(&f, 5, 1);
    check_discard(&f, 600, 700);
    after = file_sum(&f);
    g_assert_cmpstr(before, ==, after);
    teardown(&f);
}

/* Split a mapping until the kernel allows no more; returns it. */
static void *exhaust_mappings(size_t size)
{
    uint8_t *all_of_it = mmap(NULL, size, PROT_NONE, MAP_PRIVATE |
                              MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert_true(all_of_it != MAP_FAILED);
    for (size_t at = PAGE; at < size; at += 2 * PAGE) {
        if (mprotect(all_of_it + at, PAGE, PROT_READ)) {
            g_assert_cmpint(errno, ==, ENOMEM);
            return all_of_it;
        }
    }
    munmap(all_of_it, size);
    return NULL;
}

static void test_discard_limit(void)
{
    size_t size = fixed_ram_mapping_limit() * 8 * PAGE;
    void *many;
    Fixture f;

    if (size > 8 * GiB) {
        g_test_skip("this host allows too many mappings to use them all");
        return;
    }
    setup(&f, all, false);
    map_memory(&f, true, MANY);
    many = exhaust_mappings(size);
    if (!many) {
        g_test_skip("the number of mappings has no limit here");
    } else {
        check_discard(&f, 5, 1);
        check_discard(&f, 600, 700);
        munmap(many, size);
    }
    teardown(&f);
}

/*
 * Back to the file
 */

static unsigned long *changed;  /* a bit a page, while a test asks */

static void note_changed(const char *name, uint64_t offset, uint64_t length)
{
    g_assert_cmpstr(name, ==, "ram");
    bitmap_set(changed, offset / PAGE, length / PAGE);
}

static void restore(Fixture *f)
{
    changed = bitmap_new(PAGES);
    g_assert_true(fixed_ram_mapping_restore(f->mapping, note_changed,
                                            &error_abort));
    check_memory(f, f->host);
}

/* More pieces than the mapping leaves apart, and what it does leave apart. */
#define ROUNDS          60
#define MORE_MAPPINGS   1100

static unsigned count_mappings(void)
{
    g_autofree char *text = NULL;
    unsigned lines = 0;

    g_assert_true(g_file_get_contents("/proc/self/maps", &text, NULL, NULL));
    for (const char *at = text; (at = strchr(at, '\n')); at++) {
        lines++;
    }
    return lines;
}

/* Random writes and discards, and what restore() says about them. */
static void check_restore(bool (*holds)(uint64_t page), bool old, bool exact)
{
    GRand *rand = g_rand_new_with_seed(35);
    unsigned mappings;
    Fixture f;

    setup(&f, holds, old);
    map_memory(&f, !old, MANY);
    mappings = count_mappings();
    for (int round = 0; round < ROUNDS; round++) {
        g_autofree unsigned long *touched = bitmap_new(PAGES);

        for (int i = 0; i < 60; i++) {
            uint64_t page = g_rand_int_range(rand, 0, PAGES);
            uint64_t n = MIN(g_rand_int_range(rand, 1, 40), PAGES - page);

            if (i % 3) {
                memset(f.host + page * PAGE, g_rand_int(rand), n * PAGE);
            } else {
                g_assert_cmpint(fixed_ram_mapping_discard(
                                    f.mapping, f.host + page * PAGE,
                                    n * PAGE), ==, 0);
            }
            bitmap_set(touched, page, n);
        }
        restore(&f);
        /* What it did not tell of was not touched, or is zero as before. */
        for (uint64_t page = 0; exact && page < PAGES; page++) {
            g_assert_false(test_bit(page, touched) &&
                           !test_bit(page, changed) &&
                           test_bit(page, f.block->data));
        }
        g_free(changed);
        g_assert_cmpuint(count_mappings(), <=, mappings + MORE_MAPPINGS);
    }
    g_rand_free(rand);
    teardown(&f);
}

static void test_restore(void)
{
    for (int old = 0; old <= 1; old++) {
        check_restore(every_third, old, true);
        check_restore(all, old, true);
        check_restore(none, old, true);
        check_restore(ends, old, true);
    }
}

/* The kernel does not tell which pages were copied. */
static void test_restore_no_scan(void)
{
    g_setenv(FIXED_RAM_NO_PAGEMAP_SCAN, "1", true);
    check_restore(every_third, true, true);
    check_restore(ends, false, true);
    g_unsetenv(FIXED_RAM_NO_PAGEMAP_SCAN);
}

/* Another part of QEMU has put a page of its own into the mapping. */
static void test_restore_replaced(void)
{
    uint8_t *at;
    Fixture f;

    setup(&f, all, false);
    map_memory(&f, true, MANY);
    at = f.host + 77 * PAGE;
    g_assert_true(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                       MAP_FIXED | MAP_ANONYMOUS, -1, 0) == at);
    at[5] = 9;
    fixed_ram_mapping_replaced(f.mapping, at, PAGE);
    restore(&f);
    g_assert_true(test_bit(77, changed));
    g_free(changed);
    teardown(&f);
}

/*
 * What was written to
 */

#define UNIT            (16 * PAGE)

/* @expected: the numbers of units of the block, as "3 17" */
static void assert_written(const Fixture *f, const char *expected)
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

/* A read is no write; nor has the file to be read. */
static void test_written(void)
{
    uint8_t *page;
    Fixture f;

    setup(&f, ends, true);
    map_memory(&f, false, MANY);
    assert_written(&f, "");
    check_memory(&f, f.host);
    /* Of memory that is no file's, the kernel may count a read as a write. */
    teardown(&f);

    setup(&f, all, false);
    map_memory(&f, false, MANY);
    check_memory(&f, f.host);
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
    restore(&f);
    g_free(changed);
    assert_written(&f, "");
    teardown(&f);
}

/* In the pages that a cover replaces, too: at least the page itself. */
static void test_written_cover(void)
{
    g_autofree unsigned long *written = bitmap_new(PAGES);
    Fixture f;

    setup(&f, none, true);
    map_memory(&f, false, MANY);
    assert_written(&f, "");
    f.host[33 * PAGE + 7] = 1;
    g_assert_true(fixed_ram_mapping_written(f.mapping, f.host, PAGE, written));
    g_assert_true(test_bit(33, written));
    teardown(&f);
}

/* If the kernel does not tell, all may have been written to. */
static void test_written_no_scan(void)
{
    g_autofree unsigned long *written = bitmap_new(PAGES);
    Fixture f;

    setup(&f, all, false);
    map_memory(&f, false, MANY);
    g_assert_false(fixed_ram_mapping_written(f.mapping, f.host + PAGE, PAGE,
                                             written));
    g_setenv(FIXED_RAM_NO_PAGEMAP_SCAN, "1", true);
    g_assert_true(fixed_ram_mapping_written(f.mapping, f.host, PAGE, written));
    g_assert_true(bitmap_full(written, PAGES));
    g_unsetenv(FIXED_RAM_NO_PAGEMAP_SCAN);
    fixed_ram_mapping_forget(f.mapping, f.host);
    g_assert_false(fixed_ram_mapping_written(f.mapping, f.host, PAGE,
                                             written));
    teardown(&f);
}

/* Blocks that are unplugged, or have another name, are known. */
static void test_same(void)
{
    Fixture f;

    setup(&f, all, false);
    map_memory(&f, true, MANY);
    g_assert_cmpuint(fixed_ram_mapping_length(f.mapping, "ram", f.host), ==,
                     LENGTH);
    g_assert_cmpuint(fixed_ram_mapping_length(f.mapping, "rom", f.host), ==, 0);
    g_assert_cmpuint(fixed_ram_mapping_length(f.mapping, "ram",
                                              f.host + PAGE), ==, 0);
    g_assert_null(fixed_ram_mapping_unplugged(f.mapping));
    fixed_ram_mapping_forget(f.mapping, f.host);
    g_assert_cmpstr(fixed_ram_mapping_unplugged(f.mapping), ==, "ram");
    f.host[0] ^= 1;
    g_assert_true(fixed_ram_mapping_restore(f.mapping, note_changed,
                                            &error_abort));
    g_assert_cmpint(f.host[0], ==, content_of(0) ^ 1);
    teardown(&f);
}

/* A block that is unplugged leaves its addresses to other memory. */
static void test_forget(void)
{
    Fixture f;

    setup(&f, all, false);
    map_memory(&f, true, MANY);
    g_assert_true(fixed_ram_mapping_has(f.mapping, f.host + LENGTH - 1, 1));
    g_assert_false(fixed_ram_mapping_has(f.mapping, f.host + LENGTH, 1));
    fixed_ram_mapping_forget(f.mapping, f.host);
    g_assert_false(fixed_ram_mapping_has(f.mapping, f.host, LENGTH));
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/mapping/content", test_content);
    g_test_add_func("/fixed-ram/mapping/long-runs", test_long_runs);
    g_test_add_func("/fixed-ram/mapping/writes", test_writes);
    g_test_add_func("/fixed-ram/mapping/expect", test_expect);
    g_test_add_func("/fixed-ram/mapping/limit", test_limit);
    g_test_add_func("/fixed-ram/mapping/places", test_places);
    g_test_add_func("/fixed-ram/mapping/discard", test_discard);
    g_test_add_func("/fixed-ram/mapping/discard-limit", test_discard_limit);
    g_test_add_func("/fixed-ram/mapping/forget", test_forget);
    g_test_add_func("/fixed-ram/mapping/restore", test_restore);
    g_test_add_func("/fixed-ram/mapping/restore-no-scan",
                    test_restore_no_scan);
    g_test_add_func("/fixed-ram/mapping/restore-replaced",
                    test_restore_replaced);
    g_test_add_func("/fixed-ram/mapping/written", test_written);
    g_test_add_func("/fixed-ram/mapping/written-cover", test_written_cover);
    g_test_add_func("/fixed-ram/mapping/written-no-scan",
                    test_written_no_scan);
    g_test_add_func("/fixed-ram/mapping/same", test_same);
    return g_test_run();
}
