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
#include "mapping-rig.h"
#include "migration/fixed-ram/engine/restore.h"
#include "migration/fixed-ram/util/pagemap.h"

static void expect_refused(const MappingRig *f, bool clean, size_t limit,
                           const char *words)
{
    g_autoptr(FixedRamMapping) mapping = NULL;
    Error *err = NULL;

    mapping = fixed_ram_mapping_new(f->map, f->source, clean, limit, &err);
    g_assert_null(mapping);
    g_assert_nonnull(strstr(error_get_pretty(err), words));
    error_free(err);
}

static char *file_sum(const MappingRig *f)
{
    g_autofree uint8_t *bytes = g_malloc(PAGES_OFFSET + LENGTH);

    g_assert_cmpint(pread(f->fd, bytes, PAGES_OFFSET + LENGTH, 0), ==,
                    PAGES_OFFSET + LENGTH);
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes,
                                       PAGES_OFFSET + LENGTH);
}

/*
 * What the memory holds
 */

static void check_content(bool (*holds)(uint64_t page), bool old)
{
    MappingRig f;

    mapping_setup(&f, holds, old);
    mapping_map(&f, !old, MANY);
    mapping_check(&f, f.host);
    mapping_teardown(&f);
}

static void test_content(void)
{
    for (int old = 0; old <= 1; old++) {
        check_content(mapping_every_third, old);
        check_content(mapping_all, old);
        check_content(mapping_none, old);
        check_content(mapping_ends, old);
    }
}

/* Long zero runs are anonymous, so whatever the file has there is not seen. */
static void test_long_runs(void)
{
    MappingRig f;

    mapping_setup(&f, mapping_ends, true);
    mapping_map(&f, true, 1);
    mapping_check(&f, f.host);
    mapping_teardown(&f);
}

static void test_writes(void)
{
    g_autofree char *before = NULL, *after = NULL;
    uint8_t *twin;
    MappingRig f;

    mapping_setup(&f, mapping_every_third, true);
    before = file_sum(&f);
    twin = f.host;
    mapping_map(&f, false, MANY);
    fixed_ram_mapping_free(f.mapping);
    f.host = mapping_memory();
    mapping_map(&f, false, MANY);
    memset(f.host, 0xaa, LENGTH);
    mapping_check(&f, twin);
    after = file_sum(&f);
    g_assert_cmpstr(before, ==, after);
    for (uint64_t page = 0; page < PAGES; page++) {
        g_assert_true(mapping_page_is(f.host + page * PAGE, 0xaa));
    }
    munmap(twin, LENGTH);
    mapping_teardown(&f);
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
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, true, MANY);
    g_assert_cmpstr(advice_of(f.host), ==, "rr");
    fixed_ram_mapping_expect(f.mapping, true);
    g_assert_cmpstr(advice_of(f.host), ==, "sr");
    fixed_ram_mapping_expect(f.mapping, false);
    g_assert_cmpstr(advice_of(f.host), ==, "rr");
    fixed_ram_mapping_forget(f.mapping, f.host);
    fixed_ram_mapping_expect(f.mapping, true);
    g_assert_cmpstr(advice_of(f.host), ==, "rr");
    mapping_teardown(&f);
}

/*
 * What is refused
 */

static void test_limit(void)
{
    MappingRig f;

    mapping_setup(&f, mapping_every_third, true);
    expect_refused(&f, false, PAGES / 3 - 1, "'qemu-snapshot convert'");
    mapping_map(&f, false, PAGES / 3 + 1);
    mapping_teardown(&f);

    /* Clean, or with holes, nothing needs a cover. */
    mapping_setup(&f, mapping_every_third, false);
    mapping_map(&f, true, 0);
    mapping_check(&f, f.host);
    fixed_ram_mapping_free(f.mapping);
    mapping_map(&f, false, 0);
    mapping_check(&f, f.host);
    mapping_teardown(&f);

    /* Nor are covers of long runs needed. */
    mapping_setup(&f, mapping_ends, false);
    mapping_map(&f, true, 0);
    mapping_check(&f, f.host);
    mapping_teardown(&f);
}

static void test_places(void)
{
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    f.block->pages_offset += 512;
    expect_refused(&f, true, MANY, "cannot map by its pages");
    f.block->pages_offset -= 512;
    f.block->page_size = 1024;
    expect_refused(&f, true, MANY, "cannot map by its pages");
    f.block->page_size = PAGE;
    mapping_teardown(&f);
}

/*
 * Memory that the guest gives back
 */

static void check_discard(MappingRig *f, uint64_t page, uint64_t pages)
{
    uint8_t *at = f->host + page * PAGE;

    at[0] ^= 0xff;
    g_assert_true(fixed_ram_mapping_has(f->mapping, at, PAGE));
    g_assert_cmpint(fixed_ram_mapping_discard(f->mapping, at, pages * PAGE),
                    ==, 0);
    g_assert_true(buffer_is_zero(at, pages * PAGE));
    g_assert_true(mapping_page_is(at - PAGE, mapping_content(page - 1)));
    g_assert_true(mapping_page_is(at + pages * PAGE,
                                  mapping_content(page + pages)));
    at[0] = 7;
    g_assert_cmpint(at[0], ==, 7);
}

static void test_discard(void)
{
    g_autofree char *before = NULL, *after = NULL;
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    before = file_sum(&f);
    mapping_map(&f, true, MANY);
    check_discard(&f, 5, 1);
    check_discard(&f, 5, 1);
    check_discard(&f, 600, 700);
    after = file_sum(&f);
    g_assert_cmpstr(before, ==, after);
    mapping_teardown(&f);
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
    MappingRig f;

    if (size > 8 * GiB) {
        g_test_skip("this host allows too many mappings to use them all");
        return;
    }
    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, true, MANY);
    many = exhaust_mappings(size);
    if (!many) {
        g_test_skip("the number of mappings has no limit here");
    } else {
        check_discard(&f, 5, 1);
        check_discard(&f, 600, 700);
        munmap(many, size);
    }
    mapping_teardown(&f);
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

static void restore(MappingRig *f)
{
    changed = bitmap_new(PAGES);
    g_assert_true(fixed_ram_mapping_restore(f->mapping, note_changed,
                                            &error_abort));
    mapping_check(f, f->host);
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
    MappingRig f;

    mapping_setup(&f, holds, old);
    mapping_map(&f, !old, MANY);
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
    mapping_teardown(&f);
}

static void test_restore(void)
{
    for (int old = 0; old <= 1; old++) {
        check_restore(mapping_every_third, old, true);
        check_restore(mapping_all, old, true);
        check_restore(mapping_none, old, true);
        check_restore(mapping_ends, old, true);
    }
}

/* The kernel does not tell which pages were copied. */
static void test_restore_no_scan(void)
{
    g_setenv(FIXED_RAM_NO_PAGEMAP_SCAN, "1", true);
    check_restore(mapping_every_third, true, true);
    check_restore(mapping_ends, false, true);
    g_unsetenv(FIXED_RAM_NO_PAGEMAP_SCAN);
}

/* Another part of QEMU has put a page of its own into the mapping. */
static void test_restore_replaced(void)
{
    uint8_t *at;
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, true, MANY);
    at = f.host + 77 * PAGE;
    g_assert_true(mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
                       MAP_FIXED | MAP_ANONYMOUS, -1, 0) == at);
    at[5] = 9;
    fixed_ram_mapping_replaced(f.mapping, at, PAGE);
    restore(&f);
    g_assert_true(test_bit(77, changed));
    g_free(changed);
    mapping_teardown(&f);
}

/*
 * Pages that lie in two files
 */

#define PIECE           (16 * PAGE)     /* every other one is in another file */
#define OTHER_OFFSET    (7 * PAGE)      /* of the block in that file */

typedef struct TwoFiles {
    FixedRamSource parent;
    FixedRamSource *own;
    FixedRamSource *other;
} TwoFiles;

static FixedRamSourcePart two_files_part(const FixedRamSource *source,
                                         uint64_t offset, uint64_t length)
{
    const TwoFiles *two = container_of(source, TwoFiles, parent);
    uint64_t at = offset - PAGES_OFFSET;
    uint64_t left = MIN(length, PIECE - at % PIECE);

    return at / PIECE % 2
        ? (FixedRamSourcePart) { two->other, OTHER_OFFSET + at, left }
        : (FixedRamSourcePart) { two->own, offset, left };
}

static void two_files_close(FixedRamSource *source)
{
    TwoFiles *two = container_of(source, TwoFiles, parent);

    fixed_ram_source_unref(two->own);
    fixed_ram_source_unref(two->other);
    g_free(two);
}

static const FixedRamSourceOps two_files_ops = {
    .part = two_files_part,
    .close = two_files_close,
};

/* Every other piece is moved to another file. */
static void split_file(MappingRig *f)
{
    g_autofree uint8_t *bytes = g_malloc(LENGTH);
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-mapping-XXXXXX", &path, NULL);
    TwoFiles *two = g_new0(TwoFiles, 1);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(f->fd, bytes, LENGTH, PAGES_OFFSET), ==, LENGTH);
    g_assert_cmpint(pwrite(fd, bytes, LENGTH, OTHER_OFFSET), ==, LENGTH);
    for (uint64_t page = 0; page < PAGES; page++) {
        if (page * PAGE / PIECE % 2) {
            mapping_write_page(f, page, 0x5a);
        }
    }
    two->own = f->source;
    two->other = fixed_ram_source_open_file(path, 0, ON_OFF_AUTO_OFF,
                                            &error_abort);
    unlink(path);
    close(fd);
    fixed_ram_source_init(&two->parent, &two_files_ops, "two files", LENGTH);
    f->source = &two->parent;
}

static void test_parts(void)
{
    MappingRig f;

    for (int old = 0; old <= 1; old++) {
        mapping_setup(&f, mapping_every_third, old);
        split_file(&f);
        mapping_map(&f, !old, MANY);
        mapping_check(&f, f.host);
        memset(f.host + 3 * PAGE, 7, 40 * PAGE);
        g_assert_cmpint(fixed_ram_mapping_discard(f.mapping, f.host + 9 * PAGE,
                                                  30 * PAGE), ==, 0);
        restore(&f);
        g_free(changed);
        mapping_teardown(&f);
    }
}

/* Each piece takes a mapping. */
static void test_parts_limit(void)
{
    size_t pieces = LENGTH / PIECE;
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    split_file(&f);
    expect_refused(&f, true, pieces - 2, "qemu-snapshot merge");
    mapping_map(&f, true, pieces - 1);
    mapping_check(&f, f.host);
    mapping_teardown(&f);
}

/* Blocks that are unplugged, or have another name, are known. */
static void test_same(void)
{
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, true, MANY);
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
    g_assert_cmpint(f.host[0], ==, mapping_content(0) ^ 1);
    mapping_teardown(&f);
}

/* A block that is unplugged leaves its addresses to other memory. */
static void test_forget(void)
{
    MappingRig f;

    mapping_setup(&f, mapping_all, false);
    mapping_map(&f, true, MANY);
    g_assert_true(fixed_ram_mapping_has(f.mapping, f.host + LENGTH - 1, 1));
    g_assert_false(fixed_ram_mapping_has(f.mapping, f.host + LENGTH, 1));
    fixed_ram_mapping_forget(f.mapping, f.host);
    g_assert_false(fixed_ram_mapping_has(f.mapping, f.host, LENGTH));
    mapping_teardown(&f);
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
    g_test_add_func("/fixed-ram/mapping/parts", test_parts);
    g_test_add_func("/fixed-ram/mapping/parts-limit", test_parts_limit);
    g_test_add_func("/fixed-ram/mapping/same", test_same);
    return g_test_run();
}
