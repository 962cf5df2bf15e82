/*
 * fixed-ram: unit tests of the snapshot's metadata
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/snapshot.h"
#include "image.h"

#define PAGE IMAGE_PAGE
#define SEED 20240311

static FixedRamSnapshot *parse(Image *img, Error **errp)
{
    return fixed_ram_snapshot_open(&img->parent, img->start, PAGE, errp);
}

/* One error, and it names the file, an offset, and all of @words. */
static void check_error(Error *err, const char *const *words, size_t n)
{
    const char *text;

    g_assert_nonnull(err);
    text = error_get_pretty(err);
    g_assert_nonnull(strstr(text, "'" IMAGE_NAME "'"));
    g_assert_nonnull(strstr(text, "0x"));
    g_assert_nonnull(strstr(text, "offset "));
    for (size_t i = 0; i < n; i++) {
        if (words[i] && !strstr(text, words[i])) {
            g_test_message("'%s' is not in: %s", words[i], text);
            g_test_fail();
        }
    }
    error_free(err);
}

static void expect_refused(Image *img, const char *block, const char *words)
{
    g_autofree char *quoted = block ? g_strdup_printf("'%s'", block) : NULL;
    const char *const all[] = { quoted, words };
    Error *err = NULL;

    g_assert_null(parse(img, &err));
    check_error(err, all, ARRAY_SIZE(all));
}

static void check_block(Image *img, const FixedRamSnapshot *s, unsigned i)
{
    FixedRamBlockInfo *info = fixed_ram_ramsection_block(s->ram, i);
    Field base = i ? NAME1 - NAME0 : 0;
    g_autofree unsigned long *bitmap = NULL;

    g_assert_cmpstr(info->name, ==, image_block_names[i]);
    g_assert_true(fixed_ram_ramsection_find(s->ram, image_block_names[i]) ==
                  info);
    g_assert_cmpuint(info->header_offset, ==, img->at[base + NAME0]);
    g_assert_cmpuint(info->length, ==, image_block_pages[i] * PAGE);
    g_assert_cmpuint(info->bitmap_offset, ==, img->at[base + HEADER_END0]);
    g_assert_cmpuint(info->pages_offset, ==,
                     ROUND_UP(info->bitmap_offset, MiB));
    bitmap = fixed_ram_ramsection_read_bitmap(s->ram, &img->parent, info,
                                              NULL, &error_abort);
    for (uint64_t page = 0; page < image_block_pages[i]; page++) {
        g_assert_cmpint(test_bit(page, bitmap), ==, image_holds_page(i, page));
    }
}

static void check_good(Image *img)
{
    g_autoptr(FixedRamSnapshot) s = parse(img, &error_abort);

    g_assert_cmpuint(s->start, ==, img->start);
    g_assert_cmpuint(s->page_size, ==, PAGE);
    g_assert_cmpuint(s->ram->blocks->len, ==, 2);
    g_assert_cmpuint(s->ram->ram_end, ==, img->at[STREAM_END]);
    g_assert_null(fixed_ram_ramsection_find(s->ram, "pc.ra"));
    check_block(img, s, 0);
    check_block(img, s, 1);
}

static void test_good(void)
{
    static const char *const ours[] = { "mapped-ram", "fixed-ram", NULL };
    static const ImageOptions options[] = {
        { }, { .start = 1 }, { .start = 5 * MiB + 123 }, { .caps = ours },
        { .commands = 1 }, { .commands = 5 }, { .start = 9, .commands = 4 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        g_autoptr(Image) img = image_new(&options[i]);

        check_good(img);
    }
}

/* The same bytes as a file on disk. */
static void test_good_file(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { .start = 4096 });
    g_autoptr(FixedRamSnapshot) s = NULL;
    FixedRamSource *source;
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("fixed-ram-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(qemu_write_full(fd, img->bytes->data, img->bytes->len), ==,
                    img->bytes->len);
    close(fd);
    source = fixed_ram_source_open_file(path, 0, ON_OFF_AUTO_OFF, &error_abort);
    g_assert_cmpint(unlink(path), ==, 0);
    s = fixed_ram_snapshot_open(source, 4096, PAGE, &error_abort);
    g_assert_cmpuint(s->ram->blocks->len, ==, 2);
    g_assert_cmpuint(s->ram->ram_end, ==, img->at[STREAM_END]);
    fixed_ram_source_unref(source);
}

/* A field that is changed: @value is put there, or added to the old one. */
typedef struct Spoil {
    Field field;
    unsigned width;
    enum { SET, ADD } how;
    uint64_t value;
    const char *block;
    const char *words;          /* part of the message */
} Spoil;

#define RAM "pc.ram"
#define VGA "0000:00:02.0/vga.rom"

static const Spoil spoils[] = {
    { MAGIC, 4, SET, 0x5145564c, NULL, "not a VM snapshot" },
    { VERSION, 4, SET, 2, NULL, "version 2" },
    { VERSION, 4, SET, 4, NULL, "version 4" },
    { CONFIG_TYPE, 1, SET, 0, NULL, "section of type 0" },
    { CONFIG_TYPE, 1, SET, 1, NULL, "name is empty" },
    { MACHINE_LENGTH, 4, SET, 4097, NULL, "machine's name" },
    { MACHINE_LENGTH, 4, SET, UINT32_MAX, NULL, "machine's name" },
    { MACHINE_LENGTH, 4, ADD, 1, NULL, "section of type 30" },
    { SUBSECTION_NAME, 1, SET, 'k', NULL, "unknown part" },
    { CAP_COUNT, 4, SET, 0, NULL, "second configuration" },
    { CAP_COUNT, 4, SET, 1, NULL, "found a section of type" },
    { CAP_COUNT, 4, SET, 257, NULL, "257 capabilities" },
    { CAP_COUNT, 4, SET, UINT32_MAX, NULL, "capabilities" },
    { CAP_NAME, 1, SET, 0, NULL, "name is empty" },
    { SECTION_TYPE, 1, SET, 4, NULL, "section of type 4" },
    { SECTION_NAME, 4, SET, 0x0372616e, NULL, "'ran'" },
    { SECTION_VERSION, 4, SET, 3, NULL, "version 3" },
    { SECTION_VERSION, 4, SET, 5, NULL, "version 5" },
    { TOTAL, 8, ADD, -PAGE, VGA, "bytes of RAM are left" },
    { TOTAL, 8, ADD, -16 * PAGE - PAGE, RAM, "bytes of RAM are left" },
    { TOTAL, 8, ADD, PAGE, NULL, "name is empty" },
    { TOTAL, 8, ADD, 4, NULL, "flags 0x8" },
    { TOTAL, 8, ADD, 0x40, NULL, "flags 0x44" },
    { TOTAL, 8, ADD, -4, NULL, "flags 0x0" },
    { TOTAL, 8, SET, 4, NULL, "flags 0x6" },
    { TOTAL, 8, SET, -PAGE | 4, NULL, "name is empty" },
    { NAME0, 1, SET, 0, NULL, "name is empty" },
    { NAME0, 2, SET, 0x0600, NULL, "zero byte" },
    { NAME1, 1, SET, 0, NULL, "name is empty" },
    { VERSION0, 4, SET, 0, RAM, "version 0" },
    { VERSION0, 4, SET, 3, RAM, "version 3" },
    /* That is a delta's, and then all blocks have it. */
    { VERSION0, 4, SET, 2, VGA, "expected 2" },
    { VERSION1, 4, SET, UINT32_MAX, VGA, "version" },
    { PAGE_SIZE0, 8, SET, 0, RAM, "page size 0" },
    { PAGE_SIZE0, 8, SET, 3, RAM, "page size 3" },
    { PAGE_SIZE0, 8, SET, 8192, RAM, "page size 8192" },
    { PAGE_SIZE1, 8, SET, UINT64_MAX, VGA, "page size" },
    { LENGTH0, 8, SET, 0, RAM, "length 0x0" },
    { LENGTH0, 8, ADD, 1, RAM, "not a multiple" },
    { LENGTH0, 8, ADD, 17 * PAGE, RAM, "bytes of RAM are left" },
    { LENGTH0, 8, SET, -PAGE, RAM, "does not lie behind" },
    { LENGTH0, 8, SET, 1ULL << 40, RAM, "does not lie behind" },
    { LENGTH0, 8, SET, 1ULL << 30, RAM, "reach beyond the file's end" },
    { LENGTH0, 8, ADD, PAGE, NULL, "name is empty" },
    { LENGTH1, 8, SET, 0, VGA, "length 0x0" },
    { LENGTH1, 8, ADD, PAGE, VGA, "reach beyond the file's end" },
    { LENGTH1, 8, ADD, -PAGE, NULL, "name is empty" },
    { BITMAP0, 8, ADD, 1, RAM, "does not lie behind" },
    { BITMAP0, 8, ADD, 8, RAM, "does not lie behind" },
    { BITMAP0, 8, ADD, -1, RAM, "does not lie behind" },
    { BITMAP0, 8, SET, 0, RAM, "does not lie behind" },
    { BITMAP0, 8, SET, -8, RAM, "does not lie behind" },
    { BITMAP0, 8, ADD, MiB, RAM, "does not lie behind" },
    { BITMAP1, 8, ADD, -MiB, VGA, "does not lie behind" },
    { PAGES0, 8, ADD, 1, RAM, "not aligned" },
    { PAGES0, 8, ADD, 512, RAM, "not aligned" },
    { PAGES0, 8, SET, 0, RAM, "does not lie behind" },
    { PAGES0, 8, SET, -100 * PAGE, RAM, "reach beyond the file's end" },
    { PAGES0, 8, SET, -PAGE, RAM, "reach beyond the file's end" },
    { PAGES0, 8, ADD, 1 * GiB, RAM, "reach beyond the file's end" },
    { PAGES1, 8, ADD, PAGE, VGA, "reach beyond the file's end" },
    { PAGES1, 8, ADD, -MiB, VGA, "does not lie behind" },
};

static void test_fields(const void *opaque)
{
    const ImageOptions *o = opaque;

    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        const Spoil *s = &spoils[i];
        g_autoptr(Image) img = image_new(o);
        uint64_t old = image_get(img, s->field, s->width);

        image_set(img, s->field, s->width,
                  s->how == ADD ? old + s->value : s->value);
        g_test_message("row %zu: %s", i, s->words);
        expect_refused(img, s->block, s->words);
    }
}

/* Two blocks have the same name, so here both names have the same length. */
static void test_twice(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    uint8_t *data = img->bytes->data;
    size_t header = img->at[HEADER_END0] - img->at[NAME0];
    uint64_t bitmap = img->at[NAME1] + header;
    uint64_t total = image_get(img, LENGTH0, 8) + 16 * PAGE;

    memcpy(data + img->at[NAME1], data + img->at[NAME0], header);
    stq_be_p(data + img->at[NAME1] + 7, 16 * PAGE);
    stq_be_p(data + bitmap - 16, bitmap);
    stq_be_p(data + bitmap - 8, ROUND_UP(bitmap, MiB));
    image_set(img, TOTAL, 8, total | 4);
    expect_refused(img, RAM, "twice");

    /* With another name the same bytes are accepted. */
    data[img->at[NAME1] + 1] = 'q';
    fixed_ram_snapshot_free(parse(img, &error_abort));
}

static void test_configuration(void)
{
    static const char *const none[] = { NULL };
    static const char *const other[] = { "multifd", "x-colo", NULL };
    static const char *const shared[] = {
        "mapped-ram", "x-ignore-shared", NULL
    };
    static const struct {
        ImageOptions options;
        const char *words;
    } rows[] = {
        { { .caps = none }, "without fixed-ram" },
        { { .caps = other }, "without fixed-ram" },
        { { .caps = shared }, "x-ignore-shared" },
        { { .caps = shared, .start = 77 }, "x-ignore-shared" },
        { { .extra = "configuration/colour" }, "'configuration/colour'" },
        { { .extra = "configuration/capabilitie" }, "unknown part" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(Image) img = image_new(&rows[i].options);

        expect_refused(img, NULL, rows[i].words);
    }
}

static bool between(const Image *img, uint64_t n, Field from, Field to)
{
    return n >= img->at[from] && n < img->at[to];
}

/* The next length to cut to: every byte, but larger steps in padding. */
static uint64_t next_cut(const Image *img, uint64_t n)
{
    uint64_t from = 0, to = img->start;

    if (n >= img->at[HEADER_END1]) {
        from = img->at[HEADER_END1] + 20;
        to = img->at[STREAM_END];
    } else if (between(img, n, HEADER_END0, NAME1)) {
        from = img->at[HEADER_END0] + 20;
        to = img->at[NAME1];
    }
    return n >= from && n + 4001 < to ? n + 4001 : n + 1;
}

/* Cut off at each byte of the headers, and within the pages. */
static void test_truncated(const void *opaque)
{
    g_autoptr(Image) img = image_new(opaque);
    uint64_t n;

    for (n = 0; n < img->bytes->len; n = next_cut(img, n)) {
        const char *block = NULL;

        if (between(img, n, LENGTH0, NAME1)) {
            block = RAM;
        } else if (between(img, n, LENGTH1, STREAM_END)) {
            block = VGA;
        }
        img->parent.size = n;
        expect_refused(img, block, NULL);
    }
    g_assert_cmpuint(n, ==, img->bytes->len);
    img->parent.size = n;
    check_good(img);
}

/* No device's state follows RAM, or other bytes do. */
static void test_no_devices(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    const uint64_t size = img->bytes->len - img->at[STREAM_END];

    image_set(img, NEXT_SECTION, 1, 0);
    expect_refused(img, NULL, "cut off");
    image_set(img, NEXT_SECTION, 1, 8);
    check_good(img);
    /* The stream ends after RAM's first section. */
    image_set(img, RAM_PART, 1, 0);
    expect_refused(img, NULL, "cut off");
    image_set(img, FOOTER, 1, 0);
    expect_refused(img, NULL, "cut off");
    image_set(img, STREAM_END, 8, 0x20);
    expect_refused(img, NULL, "flags 0x20");
    memset(img->bytes->data + img->at[STREAM_END], 0, size);
    expect_refused(img, NULL, "cut off");
}

/* The caller says that the stream begins where it does not. */
static void test_start(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    const uint64_t size = img->bytes->len;
    const uint64_t starts[] = {
        size - 1, size, size + 1, 1ULL << 63, -PAGE, UINT64_MAX,
    };

    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        img->start = starts[i];
        expect_refused(img, NULL, "the file ends at offset 0x");
    }
    img->start = 1;
    expect_refused(img, NULL, "not a VM snapshot");
    img->start = 0;
    img->parent.size = 0;
    expect_refused(img, NULL, "offset 0x0: the file ends at offset 0x0");
}

/* The file gets shorter after it was opened. */
static void test_shrunk(void)
{
    static const Field ends[] = { VERSION, NAME0, PAGES0, NAME1, STREAM_END };

    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        g_autoptr(Image) img = image_new(&(ImageOptions) { });

        g_byte_array_set_size(img->bytes, img->at[ends[i]]);
        expect_refused(img, NULL, "were expected at offset");
    }
}

static void put_field(GByteArray *bytes, uint64_t value)
{
    uint64_t be = cpu_to_be64(value);

    g_byte_array_append(bytes, (uint8_t *)&be, sizeof(be));
}

/* A block of one page, which is zero. */
static void put_small_block(GByteArray *bytes, unsigned i)
{
    const uint8_t version[4] = { 0, 0, 0, 1 };
    g_autofree char *name = g_strdup_printf("-%u", i);
    uint64_t pages;
    guint filled;

    name[0] = strlen(name) - 1;
    g_byte_array_append(bytes, (uint8_t *)name, strlen(name));
    put_field(bytes, PAGE);
    g_byte_array_append(bytes, version, sizeof(version));
    put_field(bytes, PAGE);
    put_field(bytes, bytes->len + 16);
    pages = ROUND_UP(bytes->len + 16, PAGE);
    put_field(bytes, pages);
    filled = bytes->len;
    g_byte_array_set_size(bytes, pages + PAGE);
    memset(bytes->data + filled, 0, bytes->len - filled);
}

/* As many blocks as are allowed, and one more. */
static void test_many_blocks(void)
{
    for (unsigned n = 4096; n <= 4097; n++) {
        g_autoptr(Image) img = image_new(&(ImageOptions) { });
        uint64_t end = img->at[STREAM_END], size = img->bytes->len - end;
        g_autofree uint8_t *rest = g_memdup2(img->bytes->data + end, size);

        image_set(img, TOTAL, 8, n * PAGE | 4);
        g_byte_array_set_size(img->bytes, img->at[NAME0]);
        for (unsigned i = 0; i < n; i++) {
            put_small_block(img->bytes, i);
        }
        g_byte_array_append(img->bytes, rest, size);
        img->parent.size = img->bytes->len;
        if (n == 4096) {
            g_autoptr(FixedRamSnapshot) s = parse(img, &error_abort);

            g_assert_cmpuint(s->ram->blocks->len, ==, n);
        } else {
            expect_refused(img, "4096", "more than 4096 blocks");
        }
    }
}

static void test_read_error(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(FixedRamSnapshot) s = parse(img, &error_abort);
    static const char *const words[] = { "'" RAM "'", "Input/output error" };
    Error *err = NULL;

    img->error = EIO;
    expect_refused(img, NULL, "Input/output error");
    g_assert_null(fixed_ram_ramsection_read_bitmap(
                      s->ram, &img->parent,
                      fixed_ram_ramsection_block(s->ram, 0), NULL, &err));
    check_error(err, words, ARRAY_SIZE(words));
}

static void expect_bad_bitmap(Image *img, unsigned i, const char *what)
{
    img->parent.size = img->bytes->len;
    g_autoptr(FixedRamSnapshot) s = parse(img, &error_abort);
    g_autofree char *quoted = g_strdup_printf("'%s'", image_block_names[i]);
    const char *const words[] = { quoted, what };
    Error *err = NULL;

    if (!strcmp(what, "ends")) {
        /* The file gets shorter after the headers were read. */
        img->parent.size = img->at[i ? HEADER_END1 : HEADER_END0] + 7;
    }
    g_assert_null(fixed_ram_ramsection_read_bitmap(
                      s->ram, &img->parent,
                      fixed_ram_ramsection_block(s->ram, i), NULL, &err));
    check_error(err, words, ARRAY_SIZE(words));
}

static void test_bitmap(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { .start = 10 });
    uint8_t *data = img->bytes->data;

    expect_bad_bitmap(img, 0, "ends");
    expect_bad_bitmap(img, 1, "ends");
    data[img->at[HEADER_END0] + 100 / 8] |= 1 << 100 % 8;
    expect_bad_bitmap(img, 0, "beyond the block's end");
    data[img->at[HEADER_END0] + 100 / 8] &= ~(1 << 100 % 8);
    data[img->at[HEADER_END1] + 7] |= 0x80;
    expect_bad_bitmap(img, 1, "beyond the block's end");
    data[img->at[HEADER_END1] + 7] &= ~0x80;
    check_good(img);
}

/* Whatever the bytes were, offsets and lengths that are returned are safe. */
static void check_bounds(Image *img, const FixedRamSnapshot *s)
{
    uint64_t end = 0;

    for (size_t i = 0; i < s->ram->blocks->len; i++) {
        FixedRamBlockInfo *info = fixed_ram_ramsection_block(s->ram, i);
        Error *err = NULL;

        g_assert_cmpuint(info->header_offset, >=, end);
        g_assert_cmpuint(info->bitmap_offset, >, info->header_offset);
        g_assert_cmpuint(info->pages_offset, >, info->bitmap_offset);
        g_assert_cmpuint(info->pages_offset % PAGE, ==, 0);
        g_assert_cmpuint(info->length % PAGE, ==, 0);
        g_assert_cmpuint(info->length, <=, img->parent.size);
        end = info->pages_offset + info->length;
        g_assert_cmpuint(end, <=, img->parent.size);
        g_free(fixed_ram_ramsection_read_bitmap(s->ram, &img->parent, info,
                                                NULL, &err));
        error_free(err);
    }
}

static void mutate(Image *img, GRand *rand)
{
    static const uint8_t likely[] = { 0, 1, 4, 5, 7, 8, 0x10, 0x7f, 0x80, 255 };

    for (int left = g_rand_int_range(rand, 1, 5); left; left--) {
        bool second = g_rand_boolean(rand);
        uint64_t from = img->at[second ? NAME1 : MAGIC];
        uint64_t to = img->at[second ? HEADER_END1 : HEADER_END0] + 16;
        uint8_t *byte = img->bytes->data + g_rand_int_range(rand, from, to);

        *byte = g_rand_boolean(rand)
              ? likely[g_rand_int_range(rand, 0, ARRAY_SIZE(likely))]
              : g_rand_int_range(rand, 0, 256);
    }
}

static void test_mutations(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { .commands = 2 });
    g_autofree uint8_t *good = g_memdup2(img->bytes->data, img->bytes->len);
    g_autoptr(GRand) rand = g_rand_new_with_seed(SEED);
    unsigned taken = 0;

    g_test_message("seed %d", SEED);
    for (int i = 0; i < 20000; i++) {
        g_autoptr(FixedRamSnapshot) s = NULL;
        Error *err = NULL;

        mutate(img, rand);
        s = parse(img, &err);
        g_assert_true(!s == !!err);
        if (s) {
            check_bounds(img, s);
            taken++;
        }
        error_free(err);
        memcpy(img->bytes->data, good, img->at[HEADER_END0] + 16);
        memcpy(img->bytes->data + img->at[NAME1], good + img->at[NAME1],
               img->at[HEADER_END1] + 16 - img->at[NAME1]);
    }
    g_test_message("%u of them were taken", taken);
    check_good(img);
}

int main(int argc, char **argv)
{
    static const ImageOptions plain = { };
    static const ImageOptions offset = { .start = 70001, .commands = 2 };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/format/good", test_good);
    g_test_add_func("/fixed-ram/format/good-file", test_good_file);
    g_test_add_data_func("/fixed-ram/format/fields", &plain, test_fields);
    g_test_add_data_func("/fixed-ram/format/fields-offset", &offset,
                         test_fields);
    g_test_add_func("/fixed-ram/format/twice", test_twice);
    g_test_add_func("/fixed-ram/format/configuration", test_configuration);
    g_test_add_data_func("/fixed-ram/format/truncated", &plain,
                         test_truncated);
    g_test_add_data_func("/fixed-ram/format/truncated-offset", &offset,
                         test_truncated);
    g_test_add_func("/fixed-ram/format/no-devices", test_no_devices);
    g_test_add_func("/fixed-ram/format/start", test_start);
    g_test_add_func("/fixed-ram/format/shrunk", test_shrunk);
    g_test_add_func("/fixed-ram/format/many-blocks", test_many_blocks);
    g_test_add_func("/fixed-ram/format/read-error", test_read_error);
    g_test_add_func("/fixed-ram/format/bitmap", test_bitmap);
    g_test_add_func("/fixed-ram/format/mutations", test_mutations);
    return g_test_run();
}
