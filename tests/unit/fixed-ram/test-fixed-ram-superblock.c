/*
 * fixed-ram: unit tests of the superblock
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/crc32c.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/superblock.h"
#include "image-index.h"
#include "parse.h"

/* Where fields lie in it. */
enum {
    SB_VERSION = 8, SB_STATE = 12, SB_ID = 16, SB_START = 32, SB_END = 40,
    SB_INDEX = 48, SB_LENGTH = 56, SB_INDEX_CRC = 64, SB_ZERO = 68,
    SB_CRC = 4092,
};

static const ImageIndexOptions usual = { };

/* A snapshot that can be spoilt. */
typedef struct Fixture {
    Image *img;
    ImageIndex at;
    FixedRamRamSection *ram;
    uint8_t *sb;                /* in the image */
} Fixture;

static void setup(Fixture *f, uint64_t start)
{
    f->img = image_new(&(ImageOptions) { .start = start });
    image_add_index(f->img, &usual, &f->at);
    f->ram = parse_ram(&f->img->parent, start, IMAGE_PAGE, &error_abort);
    f->sb = f->img->bytes->data + f->at.superblock;
}

static void teardown(Fixture *f)
{
    fixed_ram_ramsection_free(f->ram);
    image_free(f->img);
}

static FixedRamSuperblock get(Fixture *f)
{
    FixedRamSuperblock sb;

    g_assert_true(parse_superblock(&f->img->parent, f->ram, &sb,
                                   &error_abort));
    return sb;
}

static bool refused(Fixture *f, const char *words)
{
    FixedRamSuperblock sb;
    Error *err = NULL;
    const char *text;
    bool ok;

    if (parse_superblock(&f->img->parent, f->ram, &sb, &err)) {
        g_assert_null(err);
        return false;
    }
    text = error_get_pretty(err);
    ok = strstr(text, "'" IMAGE_NAME "'") && strstr(text, "offset 0x") &&
         strstr(text, "superblock") && strstr(text, words);
    if (!ok) {
        g_test_message("'%s' is not in: %s", words, text);
        g_test_fail();
    }
    error_free(err);
    return true;
}

/* The CRC is the usual CRC-32C. */
static void test_crc(void)
{
    g_assert_cmphex(crc32c(0xffffffff, (const uint8_t *)"123456789", 9), ==,
                    0xe3069283);
}

static void test_complete(void)
{
    static const uint64_t starts[] = { 0, 1, 5 * MiB + 123 };

    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        FixedRamSuperblock sb;
        Fixture f;

        setup(&f, starts[i]);
        sb = get(&f);
        g_assert_cmpint(sb.state, ==, FIXED_RAM_COMPLETE);
        g_assert_cmpmem(sb.id, 16, IMAGE_ID, 16);
        g_assert_cmpuint(sb.start, ==, starts[i]);
        g_assert_cmpuint(sb.stream_end, ==, f.at.stream_end);
        g_assert_cmpuint(sb.index_offset, ==, f.at.index);
        g_assert_cmpuint(sb.index_length, ==, f.at.index_length);
        g_assert_cmphex(sb.index_crc, ==,
                        (uint32_t)ldl_le_p(f.sb + SB_INDEX_CRC));
        teardown(&f);
    }
}

static void test_being_written(void)
{
    static const int fields[] = { SB_END, SB_INDEX, SB_LENGTH, SB_INDEX_CRC };
    FixedRamSuperblock sb;
    Fixture f;

    setup(&f, 4096);
    memset(f.sb, 0, IMAGE_SUPERBLOCK);
    image_cut_off(f.img);
    sb = get(&f);
    g_assert_cmpint(sb.state, ==, FIXED_RAM_BEING_WRITTEN);
    g_assert_cmpmem(sb.id, 16, IMAGE_ID, 16);
    g_assert_cmpuint(sb.start, ==, 4096);
    g_assert_cmpuint(sb.stream_end | sb.index_offset | sb.index_length |
                     sb.index_crc, ==, 0);

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        f.sb[fields[i]] = 1;
        image_seal_superblock(f.img, &f.at);
        g_assert_true(refused(&f, "being written"));
        f.sb[fields[i]] = 0;
    }
    teardown(&f);
}

/* Stock QEMU leaves zeros where the superblock belongs. */
static void test_plain(void)
{
    FixedRamSuperblock sb;
    Fixture f;

    setup(&f, 0);
    memset(f.sb, 0, IMAGE_SUPERBLOCK);
    sb = get(&f);
    g_assert_cmpint(sb.state, ==, FIXED_RAM_PLAIN);
    g_assert_true(buffer_is_zero(sb.id, sizeof(sb.id)));
    /* A superblock in front of its place is ignored. */
    memcpy(f.sb - 8, "QEMUFXRM", 8);
    g_assert_cmpint(get(&f).state, ==, FIXED_RAM_PLAIN);
    teardown(&f);
}

/* Padding of less than 4 KiB has no superblock, and is not read. */
static void test_no_room(void)
{
    FixedRamBlockInfo *first;
    FixedRamSuperblock sb;
    Error *err = NULL;
    Fixture f;

    setup(&f, 0);
    first = fixed_ram_ramsection_block(f.ram, 0);
    first->bitmap_offset = f.at.superblock - 16;        /* just enough */
    g_assert_cmpint(get(&f).state, ==, FIXED_RAM_COMPLETE);
    first->bitmap_offset += 1;
    g_assert_cmpint(get(&f).state, ==, FIXED_RAM_PLAIN);
    first->pages_offset = first->bitmap_offset + 16;
    f.img->error = EIO;
    g_assert_cmpint(get(&f).state, ==, FIXED_RAM_PLAIN);

    first->pages_offset = f.at.superblock + IMAGE_SUPERBLOCK;
    first->bitmap_offset = 0;
    g_assert_false(parse_superblock(&f.img->parent, f.ram, &sb,
                                             &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "Input/output error"));
    error_free(err);
    teardown(&f);
}

/* Flip every bit of the superblock. */
static void test_flips(void)
{
    Fixture f;

    setup(&f, 70001);
    for (unsigned bit = 0; bit < IMAGE_SUPERBLOCK * 8; bit++) {
        f.sb[bit / 8] ^= 1 << bit % 8;
        g_assert_true(refused(&f, "damaged superblock"));
        f.sb[bit / 8] ^= 1 << bit % 8;
    }
    g_assert_cmpint(get(&f).state, ==, FIXED_RAM_COMPLETE);
    teardown(&f);
}

/* Flip every bit and make the CRC right: the other checks must notice. */
static void test_sealed_flips(void)
{
    Fixture f;

    setup(&f, 70001);
    for (unsigned bit = 0; bit < SB_CRC * 8; bit++) {
        unsigned at = bit / 8;
        /* Only comparing with the index can reveal a change of these. */
        bool elsewhere = (at >= SB_ID && at < SB_START) ||
                         (at >= SB_END && at < SB_ZERO);

        f.sb[at] ^= 1 << bit % 8;
        image_seal_superblock(f.img, &f.at);
        if (!refused(&f, "superblock") && !elsewhere) {
            g_test_message("bit %u may be flipped", bit);
            g_test_fail();
        }
        f.sb[at] ^= 1 << bit % 8;
    }
    teardown(&f);
}

typedef struct Spoil {
    unsigned at;
    enum { SET, ADD } how;
    uint64_t value;
    const char *words;
} Spoil;

static const Spoil spoils[] = {
    { SB_VERSION, SET, 2ULL << 32 | 2, "version" },
    { SB_VERSION, SET, 2ULL << 32, "version" },
    { SB_VERSION, SET, 0ULL << 32 | 1, "state" },
    { SB_VERSION, SET, 3ULL << 32 | 1, "state" },
    { SB_VERSION, SET, 1ULL << 32 | 1, "being written" },
    { SB_START, ADD, 1, "begins elsewhere" },
    { SB_START, SET, 0, "begins elsewhere" },
    { SB_END, SET, 0, "before its RAM ends at 0x210000" },
    { SB_END, SET, 2 * MiB, "before its RAM ends at 0x210000" },
    { SB_END, ADD, 4 * MiB, "the index is at offset 0x" },
    { SB_END, SET, -1, "the index is at offset 0x" },
    { SB_INDEX, ADD, -4096, "the index is at offset 0x" },
    { SB_INDEX, ADD, 8, "the index is at offset 0x" },
    { SB_INDEX, ADD, 512, "the index is at offset 0x" },
    { SB_INDEX, ADD, 4096, "beyond the file's end" },
    { SB_INDEX, SET, 0, "the index is at offset 0x" },
    { SB_INDEX, SET, -4096, "beyond the file's end" },
    { SB_LENGTH, SET, 0, "impossible length" },
    { SB_LENGTH, SET, 31, "impossible length" },
    { SB_LENGTH, SET, 16 * MiB + 1, "impossible length" },
    { SB_LENGTH, SET, -1, "impossible length" },
    { SB_LENGTH, SET, 16 * MiB, "beyond the file's end" },
    { SB_LENGTH, ADD, 1, "beyond the file's end" },
    { SB_ZERO, SET, 1, "must be zero" },
    { SB_CRC - 8, SET, 1ULL << 63, "must be zero" },
};

static void test_fields(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        const Spoil *s = &spoils[i];
        Fixture f;

        setup(&f, 70001);
        stq_le_p(f.sb + s->at, s->value +
                 (s->how == ADD ? ldq_le_p(f.sb + s->at) : 0));
        image_seal_superblock(f.img, &f.at);
        g_assert_true(refused(&f, s->words));
        teardown(&f);
    }
}

/* The file was cut short, and the superblock refers to the lost part. */
static void test_cut_short(void)
{
    Fixture f;

    setup(&f, 70001);
    f.img->parent.size = f.at.index + f.at.index_length;
    g_assert_cmpint(get(&f).state, ==, FIXED_RAM_COMPLETE);
    f.img->parent.size--;
    g_assert_true(refused(&f, "the file was cut short"));
    f.img->parent.size = f.at.stream_end;
    g_assert_true(refused(&f, "the file was cut short"));
    teardown(&f);
}

/* The index's end overflows 64 bits. */
static void test_wrapped(void)
{
    Fixture f;

    setup(&f, 70001);
    stq_le_p(f.sb + SB_INDEX, -4096);
    stq_le_p(f.sb + SB_LENGTH, 8192);
    image_seal_superblock(f.img, &f.at);
    g_assert_true(refused(&f, "beyond the file's end"));
    teardown(&f);
}

/*
 * Beside an appender
 */

/* A snapshot that another process appends to. */
typedef struct Appended {
    FixedRamSource parent;
    Fixture f;
    bool appender;              /* it is at work */
    unsigned torn;              /* so many reads are torn, while it is */
    uint64_t size;              /* that the file has now */
} Appended;

static ssize_t appended_read(FixedRamSource *source, void *buf, size_t length,
                             uint64_t offset)
{
    Appended *a = container_of(source, Appended, parent);
    FixedRamSource *img = &a->f.img->parent;
    ssize_t ret = img->ops->read(img, buf, length, offset);

    if (offset == a->f.at.superblock && a->torn) {
        ((uint8_t *)buf)[SB_INDEX] ^= 1;
        a->appender = --a->torn && a->appender;
    }
    return ret;
}

static bool appended_changing(FixedRamSource *source)
{
    return container_of(source, Appended, parent)->appender;
}

static uint64_t appended_measure(FixedRamSource *source)
{
    return container_of(source, Appended, parent)->size;
}

static const FixedRamSourceOps appended_ops = {
    .read = appended_read,
    .changing = appended_changing,
    .measure = appended_measure,
};

static void appended_setup(Appended *a)
{
    setup(&a->f, 70001);
    a->parent = a->f.img->parent;
    a->parent.ops = &appended_ops;
    a->size = a->parent.size;
    a->appender = false;
    a->torn = 0;
}

static bool appended_good(Appended *a)
{
    FixedRamSuperblock sb;

    return parse_superblock(&a->parent, a->f.ram, &sb, NULL);
}

static void test_torn(void)
{
    Appended a;

    appended_setup(&a);
    a.appender = true;
    a.torn = 20;
    g_assert_true(appended_good(&a));
    g_assert_cmpuint(a.torn, ==, 0);
    /* The appender has ended between the read and the question. */
    a.torn = 1;
    g_assert_true(appended_good(&a));
    /* Without an appender this is damage. */
    a.torn = 2;
    g_assert_false(appended_good(&a));
    teardown(&a.f);
}

/* The index lies behind what was the file's end when it was opened. */
static void test_grown(void)
{
    Appended a;

    appended_setup(&a);
    a.parent.size = a.f.at.index;
    g_assert_true(appended_good(&a));
    g_assert_cmpuint(a.parent.size, ==, a.size);
    a.parent.size = a.f.at.index;
    a.size--;
    g_assert_false(appended_good(&a));
    teardown(&a.f);
}

/* The encoder's bytes equal those of the test's own encoder. */
static void test_encode(void)
{
    uint8_t bytes[FIXED_RAM_SUPERBLOCK_BYTES];
    FixedRamSuperblock sb;
    Fixture f;

    setup(&f, 4096);
    sb = get(&f);
    fixed_ram_superblock_encode(&sb, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), f.sb, IMAGE_SUPERBLOCK);

    memset(f.sb, 0, IMAGE_SUPERBLOCK);
    image_cut_off(f.img);
    /* Offsets of the index are not known while a snapshot is written. */
    sb.state = FIXED_RAM_BEING_WRITTEN;
    fixed_ram_superblock_encode(&sb, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), f.sb, IMAGE_SUPERBLOCK);
    g_assert_cmpuint(f.at.superblock, ==, fixed_ram_superblock_offset(
                         image_get(f.img, PAGES0, 8)));
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/superblock/crc", test_crc);
    g_test_add_func("/fixed-ram/superblock/complete", test_complete);
    g_test_add_func("/fixed-ram/superblock/being-written",
                    test_being_written);
    g_test_add_func("/fixed-ram/superblock/plain", test_plain);
    g_test_add_func("/fixed-ram/superblock/no-room", test_no_room);
    g_test_add_func("/fixed-ram/superblock/flips", test_flips);
    g_test_add_func("/fixed-ram/superblock/sealed-flips", test_sealed_flips);
    g_test_add_func("/fixed-ram/superblock/fields", test_fields);
    g_test_add_func("/fixed-ram/superblock/cut-short", test_cut_short);
    g_test_add_func("/fixed-ram/superblock/wrapped", test_wrapped);
    g_test_add_func("/fixed-ram/superblock/torn", test_torn);
    g_test_add_func("/fixed-ram/superblock/grown", test_grown);
    g_test_add_func("/fixed-ram/superblock/encode", test_encode);
    return g_test_run();
}
