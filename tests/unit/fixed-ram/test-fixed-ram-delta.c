/*
 * Unit tests of fixed-ram's deltas: what a save leaves out, and what it writes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/save/scan.h"
#include "indexed.h"

#define BASE_ID     "id of the base.."
#define OTHER_ID    "id of another..."
#define BASE        "base.snap"
#define MIDDLE      "middle.snap"
#define BLOCK0_CLUSTERS 7

/* A base, and in MIDDLE a delta to it; both hold the same content. */
typedef struct Files {
    char *dir;
    char *base;
    char *middle;
    Fixture f;
    Fixture m;
} Files;

static void write_file(const char *path, const Fixture *f)
{
    g_assert_true(g_file_set_contents(path, (char *)f->img->bytes->data,
                                      f->img->bytes->len, NULL));
}

/* @layers: of the delta in MIDDLE; the first one is the base */
static void files_setup(Files *files, const ImageIndexOptions *o,
                        size_t layers)
{
    static const uint8_t map[IMAGE_CLUSTERS] = { 1, 0, 1, 0, 1, 1, 1, 0 };
    g_autofree ImageLayer *list = g_new0(ImageLayer, layers);

    files->dir = g_dir_make_tmp("fixed-ram-delta-XXXXXX", NULL);
    files->base = g_build_filename(files->dir, BASE, NULL);
    files->middle = g_build_filename(files->dir, MIDDLE, NULL);
    setup_as(&files->f, 0, o);
    write_file(files->base, &files->f);
    for (size_t i = 0; i < layers; i++) {
        list[i] = (ImageLayer) {
            .id = BASE_ID, .path = BASE,
            .digest = o->no_sums ? 0 : image_digest(files->f.img, &files->f.at),
        };
    }
    setup_as(&files->m, 0, &(ImageIndexOptions) {
                 .id = OTHER_ID, .layers = list, .layer_count = layers,
                 .map = map,
             });
    write_file(files->middle, &files->m);
}

/* False: there are no checksums, so the test is skipped. */
static bool files_setup_usual(Files *files)
{
    if (without_sums()) {
        return false;
    }
    files_setup(files, &(ImageIndexOptions) { .id = BASE_ID }, 1);
    return true;
}

static void files_teardown(Files *files)
{
    unlink(files->base);
    unlink(files->middle);
    g_assert_cmpint(rmdir(files->dir), ==, 0);
    teardown(&files->f);
    teardown(&files->m);
    g_free(files->base);
    g_free(files->middle);
    g_free(files->dir);
}

static FixedRamDelta *open_delta(const char *path)
{
    FixedRamDelta *delta = fixed_ram_delta_new(path, IMAGE_PAGE, &error_abort);

    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        fixed_ram_delta_add_block(delta, image_block_names[i],
                                  image_block_pages[i] * IMAGE_PAGE);
    }
    return delta;
}

static bool same(FixedRamDelta *delta, const char *name, uint64_t cluster,
                 uint64_t sum)
{
    bool found;

    g_assert_true(fixed_ram_delta_compare(fixed_ram_delta_find(delta, name),
                                          cluster, sum, &found,
                                          &error_abort));
    return found;
}

/* Compare all clusters of a block; those in @changed have another content. */
static void compare_all(const Files *files, FixedRamDelta *delta,
                        unsigned block, uint64_t clusters, unsigned changed)
{
    for (uint64_t i = 0; i < clusters; i++) {
        uint64_t sum = image_cluster_sum(files->f.img, block, i);
        bool other = changed >> i & 1;

        g_assert_cmpint(same(delta, image_block_names[block], i, sum + other),
                        ==, !other);
    }
}

/*
 * The map that is written must be @expected.  Returns the layers, which the
 * caller frees.
 */
static FixedRamIndexLayers *write_delta(const Files *files,
                                        FixedRamDelta *delta,
                                        const uint8_t *expected)
{
    uint8_t map[IMAGE_CLUSTERS];
    g_autofree char *path = g_build_filename(files->dir, "new.snap", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    FixedRamIndexLayers *layers;

    g_assert_cmpint(fd, >=, 0);
    layers = fixed_ram_delta_write(delta, fd, path, 777, &error_abort);
    g_assert_cmpint(layers->map_offset, ==, 777);
    g_assert_cmpint(layers->map_length, ==, IMAGE_CLUSTERS);
    g_assert_cmpint(pread(fd, map, IMAGE_CLUSTERS, 777), ==, IMAGE_CLUSTERS);
    g_assert_cmphex(layers->map_sum, ==,
                    fixed_ram_sums_get(map, IMAGE_CLUSTERS));
    g_assert_cmpmem(map, sizeof(map), expected, IMAGE_CLUSTERS);
    close(fd);
    unlink(path);
    return layers;
}

static void check_layer(const FixedRamIndexLayers *layers, size_t number,
                        const char *id, const char *path, const Fixture *f)
{
    const FixedRamIndexLayer *layer = fixed_ram_index_layer(layers, number);

    g_assert_cmpmem(layer->id, FIXED_RAM_ID_BYTES, id, FIXED_RAM_ID_BYTES);
    g_assert_cmpstr(layer->path, ==, path);
    g_assert_cmphex(layer->digest, ==, image_digest(f->img, &f->at));
    g_assert_cmpint(layer->start, ==, 0);
}

/* What is saved if two clusters of the first block have changed. */
static FixedRamIndexLayers *change_and_write(const Files *files,
                                             const char *base,
                                             const uint8_t *expected)
{
    g_autoptr(FixedRamDelta) delta = open_delta(base);

    compare_all(files, delta, 0, BLOCK0_CLUSTERS, 1 << 1 | 1 << 4);
    compare_all(files, delta, 1, 1, 0);
    return write_delta(files, delta, expected);
}

static void test_full_base(void)
{
    static const uint8_t expected[] = { 1, 0, 1, 1, 0, 1, 1, 1 };
    g_autoptr(FixedRamIndexLayers) layers = NULL;
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    layers = change_and_write(&files, files.base, expected);
    g_assert_cmpint(layers->list->len, ==, 1);
    check_layer(layers, 1, BASE_ID, BASE, &files.f);
    files_teardown(&files);
}

/* The layers of the base become layers of the delta. */
static void test_delta_base(void)
{
    static const uint8_t expected[] = { 2, 0, 2, 1, 0, 2, 2, 1 };
    g_autoptr(FixedRamIndexLayers) layers = NULL;
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    layers = change_and_write(&files, files.middle, expected);
    g_assert_cmpint(layers->list->len, ==, 2);
    check_layer(layers, 1, OTHER_ID, MIDDLE, &files.m);
    check_layer(layers, 2, BASE_ID, BASE, &files.f);
    files_teardown(&files);
}

/* A layer that no cluster lies in any more is not named, but the base is. */
static void test_unused(void)
{
    static const uint8_t expected[IMAGE_CLUSTERS] = { 0, 0, 0, 1 };
    static const uint8_t none[IMAGE_CLUSTERS];
    g_autoptr(FixedRamIndexLayers) layers = NULL;
    g_autoptr(FixedRamDelta) delta = NULL;
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    delta = open_delta(files.middle);
    compare_all(&files, delta, 0, BLOCK0_CLUSTERS, ~(1 << 3));
    layers = write_delta(&files, delta, expected);
    g_assert_cmpint(layers->list->len, ==, 1);
    fixed_ram_index_layers_free(g_steal_pointer(&layers));
    fixed_ram_delta_free(delta);
    delta = open_delta(files.middle);
    layers = write_delta(&files, delta, none);
    check_layer(layers, 1, OTHER_ID, MIDDLE, &files.m);
    files_teardown(&files);
}

/* Pages that are written after a cluster was found in the base. */
static void test_torn(void)
{
    static const uint8_t expected[] = { 1, 0, 0, 1, 1, 1, 0, 0 };
    g_autoptr(FixedRamIndexLayers) layers = NULL;
    g_autoptr(FixedRamDelta) delta = NULL;
    FixedRamDeltaBlock *block;
    uint64_t cluster = 0;
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    delta = open_delta(files.base);
    block = fixed_ram_delta_find(delta, image_block_names[0]);
    g_assert_false(fixed_ram_delta_next_torn(block, &cluster));
    compare_all(&files, delta, 0, BLOCK0_CLUSTERS, 0);
    fixed_ram_delta_written(block, 2 * IMAGE_CLUSTER - IMAGE_PAGE,
                            2 * IMAGE_PAGE);
    fixed_ram_delta_written(block, 6 * IMAGE_CLUSTER, IMAGE_PAGE);
    g_assert_true(fixed_ram_delta_next_torn(block, &cluster));
    g_assert_cmpint(cluster, ==, 1);
    g_assert_true(fixed_ram_delta_next_torn(block, &cluster));
    g_assert_cmpint(cluster, ==, 2);
    g_assert_true(fixed_ram_delta_next_torn(block, &cluster));
    g_assert_cmpint(cluster, ==, 6);
    g_assert_false(fixed_ram_delta_next_torn(block, &cluster));
    layers = write_delta(&files, delta, expected);
    files_teardown(&files);
}

/* What a saver looks at: block 0 as the snapshot has it, zeros and all. */
typedef struct Slice {
    FixedRamScan scan;
    uint8_t *mem;
    unsigned long *data;
    unsigned long *every;       /* a bit for each page, set */
} Slice;

#define UNTOUCHED   0xa5        /* in a buffer that nothing was copied to */

static void slice_setup(Slice *s, const Files *files, FixedRamDelta *delta)
{
    uint64_t pages = image_block_pages[0];

    s->mem = g_malloc0(pages * IMAGE_PAGE);
    for (uint64_t page = 0; page < pages; page++) {
        if (image_holds_page(0, page)) {
            memcpy(s->mem + page * IMAGE_PAGE,
                   image_page(files->f.img, 0, page), IMAGE_PAGE);
        }
    }
    s->data = bitmap_new(pages);
    s->every = bitmap_new(pages);
    bitmap_fill(s->every, pages);
    s->scan = (FixedRamScan) {
        .mem = s->mem, .buf = g_malloc(pages * IMAGE_PAGE), .pages = pages,
        .page_size = IMAGE_PAGE, .wanted = s->every, .populated = s->every,
        .data = s->data, .same = bitmap_new(pages),
        .sums = fixed_ram_page_sums_new(pages * IMAGE_PAGE, IMAGE_PAGE, 0,
                                        &error_abort),
        .delta = fixed_ram_delta_find(delta, image_block_names[0]),
    };
    memset(s->scan.buf, UNTOUCHED, pages * IMAGE_PAGE);
}

static void slice_teardown(Slice *s)
{
    fixed_ram_page_sums_free(s->scan.sums);
    g_free(s->scan.same);
    g_free(s->scan.buf);
    g_free(s->every);
    g_free(s->data);
    g_free(s->mem);
}

/* A cluster that the base has is neither copied nor written. */
static void test_scan(void)
{
    uint64_t per_cluster = IMAGE_CLUSTER / IMAGE_PAGE, changed = 2;
    g_autoptr(FixedRamDelta) delta = NULL;
    size_t found = 0, first, end = 0;
    Files files;
    Slice s;

    if (!files_setup_usual(&files)) {
        return;
    }
    delta = open_delta(files.base);
    slice_setup(&s, &files, delta);
    s.mem[changed * IMAGE_CLUSTER + 5] ^= 1;
    g_assert_true(fixed_ram_scan(&s.scan, &found, &error_abort));
    g_assert_cmpuint(found, ==, bitmap_count_one(s.data, s.scan.pages));
    for (uint64_t page = 0; page < s.scan.pages; page++) {
        const uint8_t *copy = s.scan.buf + page * IMAGE_PAGE;
        bool copied = page / per_cluster == changed && test_bit(page, s.data);

        if (copied) {
            g_assert_cmpmem(copy, IMAGE_PAGE, s.mem + page * IMAGE_PAGE,
                            IMAGE_PAGE);
        } else {
            g_assert_true(copy[0] == UNTOUCHED && copy[4095] == UNTOUCHED);
        }
    }
    while (fixed_ram_scan_next_run(&s.scan, end, &first, &end)) {
        g_assert_cmpuint(first / per_cluster, ==, changed);
        g_assert_cmpuint((end - 1) / per_cluster, ==, changed);
    }
    slice_teardown(&s);
    files_teardown(&files);
}

/* What is known to be in the base has its bitmap and its checksums. */
static void test_keep(void)
{
    const unsigned long parts = 1;
    g_autoptr(FixedRamDelta) delta = NULL;
    FixedRamPageSums *sums;
    uint64_t pages = image_block_pages[0], sum;
    const unsigned long *base;
    FixedRamDeltaBlock *block;
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    delta = open_delta(files.base);
    block = fixed_ram_delta_find(delta, image_block_names[0]);
    g_assert_true(fixed_ram_delta_in_base(block));
    g_assert_null(fixed_ram_delta_bitmap(block));
    g_assert_true(fixed_ram_delta_read_bitmap(block, &error_abort));
    base = fixed_ram_delta_bitmap(block);
    for (uint64_t page = 0; page < pages; page++) {
        g_assert_cmpint(test_bit(page, base), ==, image_holds_page(0, page));
    }
    sums = fixed_ram_page_sums_new(pages * IMAGE_PAGE, IMAGE_PAGE, 0,
                                   &error_abort);
    for (uint64_t i = 0; i < BLOCK0_CLUSTERS; i++) {
        g_assert_true(fixed_ram_delta_keep(block, i, &sum, &error_abort));
        g_assert_cmphex(sum, ==, image_cluster_sum(files.f.img, 0, i));
        fixed_ram_page_sums_know(sums, i, sum);
    }
    /* Forgotten again: what is recorded of its pages counts, here nothing. */
    fixed_ram_page_sums_know(sums, 3, 0);
    fixed_ram_page_sums_close(sums, base, &parts, pages * IMAGE_PAGE);
    for (uint64_t i = 0; i < BLOCK0_CLUSTERS; i++) {
        g_assert_cmpint(fixed_ram_page_sums_cluster(sums, i) ==
                        image_cluster_sum(files.f.img, 0, i), ==, i != 3);
    }
    fixed_ram_page_sums_free(sums);
    files_teardown(&files);
}

/* Of a block that the base lacks, or has with another length, all differs. */
static void test_blocks(void)
{
    g_autoptr(FixedRamDelta) delta = NULL;
    uint64_t sum;
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    delta = fixed_ram_delta_new(files.base, IMAGE_PAGE, &error_abort);
    fixed_ram_delta_add_block(delta, "new", 4 * IMAGE_CLUSTER);
    fixed_ram_delta_add_block(delta, image_block_names[0], 4 * IMAGE_CLUSTER);
    sum = image_cluster_sum(files.f.img, 0, 0);
    g_assert_false(same(delta, "new", 0, sum));
    g_assert_false(same(delta, image_block_names[0], 0, sum));
    g_assert_null(fixed_ram_delta_find(delta, "neither"));
    files_teardown(&files);
}

static void test_is_file(void)
{
    g_autoptr(FixedRamDelta) delta = NULL;
    Files files;
    int fd;

    if (!files_setup_usual(&files)) {
        return;
    }
    delta = open_delta(files.middle);
    g_assert_cmpstr(fixed_ram_delta_name(delta), ==, files.middle);
    fd = open(files.base, O_RDONLY);
    g_assert_true(fixed_ram_delta_is_file(delta, fd));
    close(fd);
    fd = open(files.middle, O_RDONLY);
    g_assert_true(fixed_ram_delta_is_file(delta, fd));
    close(fd);
    fd = open("/dev/null", O_RDONLY);
    g_assert_false(fixed_ram_delta_is_file(delta, fd));
    close(fd);
    files_teardown(&files);
}

/*
 * What is no base
 */

static void expect_no_base(const char *path, const char *words)
{
    Error *err = NULL;

    g_assert_null(fixed_ram_delta_new(path, IMAGE_PAGE, &err));
    g_assert_nonnull(err);
    if (!strstr(error_get_pretty(err), words)) {
        g_test_message("'%s' is not in: %s", words, error_get_pretty(err));
        g_test_fail();
    }
    error_free(err);
}

static void test_no_base(void)
{
    Files files;

    if (without_sums()) {
        return;
    }
    files_setup(&files, &(ImageIndexOptions) {
                    .id = BASE_ID, .no_sums = true,
                }, 1);
    expect_no_base(files.base, "no checksums to compare with");
    expect_no_base("/dev/fdset/1", "path of its base");
    expect_no_base(files.dir, "");
    unlink(files.base);
    expect_no_base(files.base, "No such file");
    files_teardown(&files);
}

/* The layers of the base are verified, too. */
static void test_base_of_base(void)
{
    Files files;

    if (!files_setup_usual(&files)) {
        return;
    }
    g_assert_cmpint(g_rename(files.middle, files.base), ==, 0);
    expect_no_base(files.base, "another one");
    files_teardown(&files);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/delta/full-base", test_full_base);
    g_test_add_func("/fixed-ram/delta/delta-base", test_delta_base);
    g_test_add_func("/fixed-ram/delta/unused", test_unused);
    g_test_add_func("/fixed-ram/delta/torn", test_torn);
    g_test_add_func("/fixed-ram/delta/scan", test_scan);
    g_test_add_func("/fixed-ram/delta/keep", test_keep);
    g_test_add_func("/fixed-ram/delta/blocks", test_blocks);
    g_test_add_func("/fixed-ram/delta/is-file", test_is_file);
    g_test_add_func("/fixed-ram/delta/no-base", test_no_base);
    g_test_add_func("/fixed-ram/delta/base-of-base", test_base_of_base);
    return g_test_run();
}
