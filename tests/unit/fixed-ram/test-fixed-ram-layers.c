/*
 * Unit tests of fixed-ram's deltas: the section, the map, and the layers' files
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/layers.h"
#include "migration/fixed-ram/format/lock.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/format/sumtable.h"
#include "indexed.h"

#define BASE_ID     "id of the base.."
#define BASE        "base.snap"

/* Clusters 1 and 5 are the delta's own. */
static const uint8_t the_map[IMAGE_CLUSTERS] = { 1, 0, 1, 1, 1, 0, 1, 1 };

/* A base and a delta in files, with what the guest's memory held at the end. */
typedef struct Chain {
    char *dir;
    char *base_path;
    char *delta_path;
    Fixture base;
    Fixture delta;
    GByteArray *memory[IMAGE_BLOCKS];
    ImageLayer layer;
} Chain;

static void write_file(const char *path, const GByteArray *bytes)
{
    g_assert_true(g_file_set_contents(path, (const char *)bytes->data,
                                      bytes->len, NULL));
}

/* The number of the block's first cluster. */
static unsigned first_cluster(unsigned block)
{
    return block ? DIV_ROUND_UP(image_block_pages[0] * IMAGE_PAGE,
                                IMAGE_CLUSTER) : 0;
}

static uint8_t layer_of(unsigned block, uint64_t page)
{
    return the_map[first_cluster(block) + page * IMAGE_PAGE / IMAGE_CLUSTER];
}

/* Other content in the delta's own clusters. */
static void change_content(Image *img)
{
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        for (uint64_t page = 0; page < image_block_pages[i]; page++) {
            uint8_t *bytes = (uint8_t *)image_page(img, i, page);

            if (layer_of(i, page) == FIXED_RAM_LAYER_OWN) {
                memset(bytes, 0x80 | page, IMAGE_PAGE);
            }
        }
    }
}

/* What the delta has at the places of its layers' pages is not to be read. */
static void spoil_other_pages(Chain *c)
{
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        for (uint64_t page = 0; page < image_block_pages[i]; page++) {
            uint8_t *bytes = (uint8_t *)image_page(c->delta.img, i, page);

            g_byte_array_append(c->memory[i], bytes, IMAGE_PAGE);
            if (layer_of(i, page) != FIXED_RAM_LAYER_OWN) {
                memset(bytes, 0xee, IMAGE_PAGE);
            }
        }
    }
}

static void make_delta(Chain *c, const ImageIndexOptions *o)
{
    c->delta.img = image_new(&(ImageOptions) { .start = START });
    image_fill(c->delta.img);
    change_content(c->delta.img);
    image_add_index(c->delta.img, o, &c->delta.at);
    spoil_other_pages(c);
    write_file(c->delta_path, c->delta.img->bytes);
}

static void chain_setup_as(Chain *c, const char *path, const uint8_t *map)
{
    ImageIndexOptions o = {
        .layers = &c->layer, .layer_count = 1, .map = map,
    };

    *c = (Chain) { .dir = g_dir_make_tmp("fixed-ram-layers-XXXXXX", NULL) };
    c->base_path = g_build_filename(c->dir, BASE, NULL);
    c->delta_path = g_build_filename(c->dir, IMAGE_NAME, NULL);
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        c->memory[i] = g_byte_array_new();
    }
    setup_as(&c->base, 4096, &(ImageIndexOptions) { .id = BASE_ID });
    write_file(c->base_path, c->base.img->bytes);
    c->layer = (ImageLayer) {
        .id = BASE_ID, .digest = image_digest(c->base.img, &c->base.at),
        .start = 4096, .path = path ?: c->base_path,
    };
    make_delta(c, &o);
}

static void chain_setup(Chain *c)
{
    chain_setup_as(c, BASE, the_map);
}

static void chain_teardown(Chain *c)
{
    unlink(c->base_path);
    unlink(c->delta_path);
    g_assert_cmpint(rmdir(c->dir), ==, 0);
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        g_byte_array_unref(c->memory[i]);
    }
    teardown(&c->base);
    teardown(&c->delta);
    g_free(c->base_path);
    g_free(c->delta_path);
    g_free(c->dir);
}

static FixedRamSnapshot *open_path(const char *path,
                                   const FixedRamLayersConfig *config,
                                   Error **errp)
{
    g_autoptr(FixedRamSource) source =
        fixed_ram_source_open_file(path, START, ON_OFF_AUTO_OFF, errp);
    g_autoptr(FixedRamSnapshot) s = NULL;

    s = fixed_ram_snapshot_open(source, START, IMAGE_PAGE, errp);
    if (!s || !fixed_ram_layers_open(s, config, errp)) {
        return NULL;
    }
    return g_steal_pointer(&s);
}

static FixedRamSnapshot *open_delta(const Chain *c, Error **errp)
{
    const FixedRamLayersConfig config = { .direct = ON_OFF_AUTO_OFF };

    return open_path(c->delta_path, &config, errp);
}

/* Opening the delta fails, with an error that has all of the words. */
static void expect_error(const Chain *c, const char *const *words)
{
    Error *err = NULL;

    g_assert_null(open_delta(c, &err));
    g_assert_nonnull(err);
    for (; *words; words++) {
        if (!strstr(error_get_pretty(err), *words)) {
            g_test_message("'%s' is not in: %s", *words,
                           error_get_pretty(err));
            g_test_fail();
        }
    }
    error_free(err);
}

#define EXPECT_ERROR(c, ...) \
    expect_error(c, (const char *const []) { __VA_ARGS__, NULL })

/* Read all pages, @step at once, and compare those that have data. */
static void check_pages(const Chain *c, FixedRamSnapshot *s, uint64_t step)
{
    for (unsigned i = 0; i < IMAGE_BLOCKS; i++) {
        const FixedRamIndexBlock *block = fixed_ram_index_block(s->index, i);
        g_autofree uint8_t *buf = g_malloc(block->length);

        for (uint64_t at = 0; at < block->length; at += step) {
            g_assert_true(fixed_ram_source_read_pages(
                s->source, buf + at, MIN(step, block->length - at),
                block->pages_offset + at, &error_abort));
        }
        for (uint64_t page = 0; page < image_block_pages[i]; page++) {
            g_assert_true(!image_holds_page(i, page) ||
                          !memcmp(buf + page * IMAGE_PAGE,
                                  c->memory[i]->data + page * IMAGE_PAGE,
                                  IMAGE_PAGE));
        }
    }
}

static void test_read(void)
{
    static const uint64_t steps[] = { 1, 3, 16, 17, 40, 1000 };
    g_autoptr(FixedRamSnapshot) s = NULL;
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    s = open_delta(&c, &error_abort);
    g_assert_nonnull(s->layers);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        check_pages(&c, s, steps[i] * IMAGE_PAGE);
    }
    g_assert_true(fixed_ram_index_verify_stream(s->index, s->source,
                                                &error_abort));
    /* Nothing happens the second time. */
    g_assert_true(fixed_ram_layers_open(s, &(FixedRamLayersConfig) { },
                                        &error_abort));
    chain_teardown(&c);
}

static void test_part(void)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    FixedRamSourcePart part;
    uint64_t pages;
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    s = open_delta(&c, &error_abort);
    pages = fixed_ram_index_block(s->index, 0)->pages_offset;
    part = fixed_ram_source_part(s->source, pages + IMAGE_PAGE, MiB);
    g_assert_cmpstr(part.source->name, ==, c.base_path);
    g_assert_cmphex(part.offset, ==,
                    image_get(c.base.img, PAGES0, 8) + IMAGE_PAGE);
    g_assert_cmphex(part.length, ==, IMAGE_CLUSTER - IMAGE_PAGE);
    part = fixed_ram_source_part(s->source, pages + IMAGE_CLUSTER, MiB);
    g_assert_cmpstr(part.source->name, ==, c.delta_path);
    g_assert_cmphex(part.offset, ==, pages + IMAGE_CLUSTER);
    g_assert_cmphex(part.length, ==, IMAGE_CLUSTER);
    part = fixed_ram_source_part(s->source, pages + 2 * IMAGE_CLUSTER, MiB);
    g_assert_cmphex(part.length, ==, 3 * IMAGE_CLUSTER);
    /* Behind the stream all is the delta's. */
    part = fixed_ram_source_part(s->source, c.delta.at.stream_end, 77);
    g_assert_cmpstr(part.source->name, ==, c.delta_path);
    g_assert_cmpint(part.length, ==, 77);
    chain_teardown(&c);
}

/* The pages of a layer are verified by the delta's checksums. */
static void test_flipped(void)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    g_autoptr(FixedRamSumTable) table = NULL;
    g_autofree uint8_t *buf = g_malloc(IMAGE_CLUSTER);
    uint64_t pages, sum;
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    s = open_delta(&c, &error_abort);
    table = fixed_ram_sumtable_new(s->index);
    pages = fixed_ram_index_block(s->index, 0)->pages_offset;
    g_assert_true(fixed_ram_source_read_pages(s->source, buf, IMAGE_CLUSTER,
                                              pages, &error_abort));
    g_assert_true(fixed_ram_sumtable_get(table, s->source, 0, &sum,
                                         &error_abort));
    g_assert_cmphex(sum, ==, image_cluster_sum(c.base.img, 0, 0));
    chain_teardown(&c);
}

static void test_paths(void)
{
    const FixedRamLayersConfig config = { .direct = ON_OFF_AUTO_OFF };
    g_autofree char *other = g_dir_make_tmp("fixed-ram-link-XXXXXX", NULL);
    g_autofree char *link = g_build_filename(other, "link", NULL);
    g_autofree char *set = NULL, *name = NULL, *other_name = NULL;
    char *real;
    Error *err = NULL;
    Chain c;

    if (without_sums()) {
        rmdir(other);
        return;
    }
    chain_setup_as(&c, NULL, the_map);
    fixed_ram_snapshot_free(open_delta(&c, &error_abort));
    chain_teardown(&c);

    chain_setup(&c);
    g_assert_cmpint(symlink(c.delta_path, link), ==, 0);
    fixed_ram_snapshot_free(open_path(link, &config, &error_abort));
    real = realpath(c.base_path, NULL);
    name = fixed_ram_layers_name(link, real);
    g_assert_cmpstr(name, ==, BASE);
    other_name = fixed_ram_layers_name(c.delta_path, link);
    g_assert_cmpstr(other_name, ==, link);
    free(real);
    chain_teardown(&c);
    unlink(link);
    rmdir(other);

    set = fixed_ram_layers_path("/dev/fdset/3", "/a/b", &error_abort);
    g_assert_cmpstr(set, ==, "/a/b");
    g_assert_null(fixed_ram_layers_path("/dev/fdset/3", "b", &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "relative"));
    error_free(err);
}

/*
 * Layers that are not those of the delta
 */

static void test_missing(void)
{
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    unlink(c.base_path);
    EXPECT_ERROR(&c, IMAGE_NAME, "layer 1 of 1", "'" BASE "'", "No such file");
    chain_teardown(&c);
}

/* Replace the base by a snapshot with other options and other content. */
static void replace_base(Chain *c, const ImageIndexOptions *o)
{
    teardown(&c->base);
    c->base.img = image_new(&(ImageOptions) { .start = 4096 });
    image_add_index(c->base.img, o, &c->base.at);
    write_file(c->base_path, c->base.img->bytes);
}

static void test_other(void)
{
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    replace_base(&c, &(ImageIndexOptions) { .id = "id of a sibling." });
    EXPECT_ERROR(&c, BASE, "another one", "6964206f6620612073",
                 "expected 6964206f662074686520626173652e2e");
    replace_base(&c, &(ImageIndexOptions) { .id = BASE_ID });
    EXPECT_ERROR(&c, BASE, "was changed", "digest", "expected");
    replace_base(&c, &(ImageIndexOptions) { .id = BASE_ID, .no_sums = true });
    EXPECT_ERROR(&c, BASE, "no checksums");
    chain_teardown(&c);
}

/* A working set that is added to the base changes nothing. */
static void test_set(void)
{
    static const ImageRun run = { .pages = 1, .flags = 0, .first = 1 };
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    teardown(&c.base);
    setup_as(&c.base, 4096, &(ImageIndexOptions) {
                 .id = BASE_ID, .runs = &run, .run_count = 1,
             });
    write_file(c.base_path, c.base.img->bytes);
    fixed_ram_snapshot_free(open_delta(&c, &error_abort));
    chain_teardown(&c);
}

static void test_cut_base(void)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    uint8_t page[IMAGE_PAGE];
    uint64_t pages;
    Error *err = NULL;
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    s = open_delta(&c, &error_abort);
    pages = fixed_ram_index_block(s->index, 0)->pages_offset;
    g_assert_cmpint(truncate(c.base_path, 8192), ==, 0);
    g_assert_false(fixed_ram_source_read_pages(s->source, page, IMAGE_PAGE,
                                               pages, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), BASE));
    error_free(err);
    err = NULL;
    EXPECT_ERROR(&c, BASE, "layer 1 of 1", "offset 0x");
    chain_teardown(&c);
}

static void test_other_blocks(void)
{
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    /* A letter of the block's name, in the stream and in the index. */
    c.base.img->bytes->data[c.base.img->at[NAME0] + 1] = 'q';
    section_bytes(&c.base, BLOCKS)[BLOCK0 + 44] = 'q';
    image_seal(c.base.img, &c.base.at);
    c.layer.digest = image_digest(c.base.img, &c.base.at);
    write_file(c.base_path, c.base.img->bytes);
    teardown(&c.delta);
    make_delta(&c, &(ImageIndexOptions) {
                   .layers = &c.layer, .layer_count = 1, .map = the_map,
               });
    EXPECT_ERROR(&c, IMAGE_NAME, "map of layers at offset 0x", "'pc.ram'",
                 "layer 1", BASE, "no block");
    chain_teardown(&c);
}

static void test_map_values(void)
{
    static const uint8_t map[] = { 1, 0, 1, 1, 1, 2, 1, 1 };
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup_as(&c, BASE, map);
    EXPECT_ERROR(&c, IMAGE_NAME, "offset 0x", "names layer 2", "there are 1");
    chain_teardown(&c);

    chain_setup(&c);
    c.delta.img->bytes->data[c.delta.at.map + 1] = 1;
    write_file(c.delta_path, c.delta.img->bytes);
    EXPECT_ERROR(&c, IMAGE_NAME, "map of layers at offset 0x", "checksum");
    chain_teardown(&c);
}

static void test_locked(void)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    Error *err = NULL;
    Chain c;
    int fd;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    s = open_delta(&c, &error_abort);
    g_assert_true(fixed_ram_source_locked(s->source));
    fd = open(c.base_path, O_WRONLY);
    g_assert_false(fixed_ram_lock_exclusive(fd, 4096, BASE, &err));
    error_free(err);
    fixed_ram_source_unlock(s->source);
    g_assert_true(fixed_ram_lock_exclusive(fd, 4096, BASE, &error_abort));
    fixed_ram_lock_release(fd, 4096);
    close(fd);
    chain_teardown(&c);
}

/*
 * The section
 */

static const Spoil spoils[] = {
    { 0, 4, SET, 0, "0 layers" },
    { 0, 4, SET, 65, "65 layers" },
    { 0, 4, SET, UINT32_MAX, "layers" },
    { 0, 4, SET, 2, "a section ends" },
    { 4, 4, SET, 1, "must be zero" },
    { 8, 8, SET, 0, "does not lie behind the stream's end" },
    { 8, 8, ADD, -1, "does not lie behind" },
    { 8, 8, SET, UINT64_MAX, "does not lie behind" },
    { 8, 8, ADD, 1 << 20, "does not lie behind" },
    { 16, 8, ADD, 1, "there are 8 clusters" },
    { 16, 8, SET, 0, "there are 8 clusters" },
    { 16, 8, SET, UINT64_MAX, "there are 8 clusters" },
    { 56, 8, SET, UINT64_MAX, "impossible offset" },
    { 64, 4, SET, 0, "path of a layer has 0 bytes" },
    { 64, 4, SET, 4097, "path of a layer has 4097 bytes" },
    { 64, 4, SET, 4096, "in the middle" },
    { 64, 4, ADD, -1, "must be zero" },
    { 68, 1, SET, 0, "zero byte" },
    { 68, 1, SET, 0xff, "UTF-8" },
};

static void test_fields(void)
{
    if (without_sums()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        Chain c;

        chain_setup(&c);
        spoil(section_bytes(&c.delta, LAYERS), &spoils[i]);
        image_seal(c.delta.img, &c.delta.at);
        expect_refused(&c.delta, spoils[i].words);
        chain_teardown(&c);
    }
}

static void test_ids(void)
{
    static const char *const words[] = { "twice", "layer of itself" };
    const ImageLayer layers[2][2] = {
        { { BASE_ID, 1, 0, "a" }, { BASE_ID, 2, 0, "b" } },
        { { BASE_ID, 1, 0, "a" }, { IMAGE_ID, 2, 0, "b" } },
    };

    if (without_sums()) {
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        Fixture f;

        setup_as(&f, START, &(ImageIndexOptions) {
                     .layers = layers[i], .layer_count = 2, .map = the_map,
                 });
        expect_refused(&f, words[i]);
        teardown(&f);
    }
}

/* Readers of full snapshots look at the version alone, so it must be right. */
static void test_versions(void)
{
    Chain c;

    if (without_sums()) {
        return;
    }
    chain_setup(&c);
    image_set(c.delta.img, VERSION1, 4, 1);
    expect_refused(&c.delta, "version 1, expected 2");
    image_set(c.delta.img, VERSION0, 4, 1);
    expect_refused(&c.delta, "those of a full snapshot");
    image_set(c.delta.img, VERSION0, 4, 3);
    expect_refused(&c.delta, "version 3, expected 1");
    image_set(c.base.img, VERSION0, 4, 2);
    expect_refused(&c.base, "version 1, expected 2");
    image_set(c.base.img, VERSION1, 4, 2);
    expect_refused(&c.base, "those of a delta");
    /* Without a superblock it is a file of mapped-ram. */
    memset(c.base.img->bytes->data + c.base.at.superblock, 0,
           IMAGE_SUPERBLOCK);
    expect_refused(&c.base, "no index to name its layers");
    chain_teardown(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/layers/read", test_read);
    g_test_add_func("/fixed-ram/layers/part", test_part);
    g_test_add_func("/fixed-ram/layers/flipped", test_flipped);
    g_test_add_func("/fixed-ram/layers/paths", test_paths);
    g_test_add_func("/fixed-ram/layers/missing", test_missing);
    g_test_add_func("/fixed-ram/layers/other", test_other);
    g_test_add_func("/fixed-ram/layers/set", test_set);
    g_test_add_func("/fixed-ram/layers/cut-base", test_cut_base);
    g_test_add_func("/fixed-ram/layers/other-blocks", test_other_blocks);
    g_test_add_func("/fixed-ram/layers/map-values", test_map_values);
    g_test_add_func("/fixed-ram/layers/locked", test_locked);
    g_test_add_func("/fixed-ram/layers/fields", test_fields);
    g_test_add_func("/fixed-ram/layers/ids", test_ids);
    g_test_add_func("/fixed-ram/layers/versions", test_versions);
    return g_test_run();
}
