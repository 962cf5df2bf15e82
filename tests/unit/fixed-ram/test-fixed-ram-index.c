/*
 * fixed-ram: unit tests of the index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/sums.h"
#include "indexed.h"
#include "parse.h"

/*
 * What is good
 */

static void check_machine(const FixedRamIndexMachine *m)
{
    g_assert_cmpstr(m->type, ==, IMAGE_MACHINE);
    g_assert_cmpstr(m->version, ==, IMAGE_VERSION);
    g_assert_cmpstr(m->name, ==, IMAGE_VM);
    g_assert_cmpmem(m->uuid, 16, IMAGE_UUID, 16);
    g_assert_cmpuint(m->time, ==, IMAGE_TIME);
    g_assert_cmpuint(m->ram_bytes, ==, IMAGE_RAM);
}

static void check_block(const Fixture *f, const FixedRamIndex *index,
                        unsigned i)
{
    const FixedRamIndexBlock *block = fixed_ram_index_block(index, i);
    Field base = i ? NAME1 - NAME0 : 0;
    uint64_t held = 0;

    for (uint64_t page = 0; page < image_block_pages[i]; page++) {
        held += image_holds_page(i, page);
    }
    g_assert_cmpstr(block->name, ==, image_block_names[i]);
    g_assert_cmpuint(block->length, ==, image_block_pages[i] * IMAGE_PAGE);
    g_assert_cmpuint(block->page_size, ==, IMAGE_PAGE);
    g_assert_cmpuint(block->bitmap_offset, ==,
                     image_get(f->img, base + BITMAP0, 8));
    g_assert_cmpuint(block->pages_offset, ==,
                     image_get(f->img, base + PAGES0, 8));
    g_assert_cmpuint(block->pages, ==, held);
    g_assert_cmpuint(block->first_cluster, ==, i * 7);
}

static void check_good(Fixture *f, bool has_sums)
{
    g_autoptr(FixedRamIndex) index = get_index(f, &error_abort);

    g_assert_cmpmem(index->id, 16, IMAGE_ID, 16);
    g_assert_true(index->has_machine);
    check_machine(&index->machine);
    g_assert_cmpuint(index->blocks->len, ==, IMAGE_BLOCKS);
    check_block(f, index, 0);
    check_block(f, index, 1);
    g_assert_cmpuint(index->head.offset, ==, f->img->start);
    g_assert_cmpuint(index->head.length, ==,
                     f->img->at[HEADER_END0] - f->img->start);
    g_assert_cmpuint(index->tail.offset, ==, f->img->at[STREAM_END]);
    g_assert_cmpuint(index->tail.length, ==,
                     f->at.stream_end - f->img->at[STREAM_END]);
    g_assert_cmpint(index->has_sums, ==, has_sums);
    if (has_sums) {
        g_assert_cmpuint(index->table.offset, ==, f->at.table);
        g_assert_cmpuint(index->table.length, ==, 8 * 8);
        g_assert_cmpuint(index->table.chunk_sums->len, ==, 1);
    }
    g_assert_true(read_all(f, &error_abort));
}

static void test_good(void)
{
    static const uint64_t starts[] = { 0, 1, 4096, START, 5 * MiB };

    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        for (int no_sums = 0; no_sums <= 1; no_sums++) {
            Fixture f;

            setup_as(&f, starts[i], &(ImageIndexOptions) {
                         .no_sums = no_sums,
                     });
            check_good(&f, !no_sums && fixed_ram_sums_built());
            teardown(&f);
        }
    }
}

/* Other bytes follow the snapshot in its file. */
static void test_file_goes_on(void)
{
    static const uint8_t more[10000] = { 1, 2, 3 };
    Fixture f;

    setup(&f);
    g_byte_array_append(f.img->bytes, more, sizeof(more));
    f.img->parent.size = f.img->bytes->len;
    check_good(&f, fixed_ram_sums_built());
    teardown(&f);
}

/* Decoding and encoding again yields the bytes of the test's encoder. */
static void test_encode(void)
{
    for (int no_sums = 0; no_sums <= 1; no_sums++) {
        g_autoptr(FixedRamIndex) index = NULL;
        g_autoptr(GByteArray) bytes = NULL;
        Fixture f;

        setup_as(&f, START, &(ImageIndexOptions) { .no_sums = no_sums });
        index = get_index(&f, &error_abort);
        bytes = fixed_ram_index_encode(index);
        g_assert_cmpmem(bytes->data, bytes->len,
                        f.img->bytes->data + f.at.index, f.at.index_length);
        teardown(&f);
    }
}

/* Replace the index by this one. */
static void put_back(Fixture *f, const FixedRamIndex *index)
{
    g_autoptr(GByteArray) bytes = fixed_ram_index_encode(index);

    g_byte_array_set_size(f->img->bytes, f->at.index);
    g_byte_array_append(f->img->bytes, bytes->data, bytes->len);
    f->img->parent.size = f->img->bytes->len;
    f->at.index_length = bytes->len;
    stq_le_p(f->img->bytes->data + f->at.superblock + 56, bytes->len);
    image_seal(f->img, &f->at);
}

/* The section CLEAN has no fields: it is there or not. */
static void test_clean(void)
{
    g_autoptr(FixedRamIndex) index = NULL, back = NULL;
    Fixture f;

    setup(&f);
    index = get_index(&f, &error_abort);
    g_assert_false(index->clean);
    index->clean = true;
    put_back(&f, index);
    back = get_index(&f, &error_abort);
    g_assert_true(back->clean);
    g_assert_false(back->has_unknown);
    teardown(&f);

    setup_as(&f, START, &(ImageIndexOptions) { .extra = 9 });
    expect_refused(&f, "longer than its fields");
    teardown(&f);
}

/* A build that cannot compute checksums reads and ignores them. */
static void test_wrong_sums(void)
{
    g_autoptr(FixedRamIndex) index = NULL, back = NULL;
    uint64_t sum = 1;
    Fixture f;

    setup_as(&f, START, &(ImageIndexOptions) { .no_sums = true });
    index = get_index(&f, &error_abort);
    index->has_sums = true;
    index->table.offset = f.at.index - 64;
    index->table.length = 64;
    g_array_append_val(index->table.chunk_sums, sum);
    put_back(&f, index);
    back = get_index(&f, &error_abort);
    g_assert_true(back->has_sums);
    if (fixed_ram_sums_built()) {
        expect_damaged(&f, "checksum 0x");
    } else {
        g_assert_true(read_all(&f, &error_abort));
    }
    teardown(&f);
}

/* The key of checksums is in the index, and in its digest. */
static void test_key(void)
{
    g_autoptr(FixedRamIndex) index = NULL, back = NULL;
    Fixture f;

    if (!fixed_ram_sums_built()) {
        g_test_skip("this build has no checksums");
        return;
    }
    setup(&f);
    index = get_index(&f, &error_abort);
    g_assert_cmphex(index->table.key, ==, 0);
    index->table.key = 0x8877665544332211;
    put_back(&f, index);
    back = get_index(&f, &error_abort);
    g_assert_cmphex(back->table.key, ==, 0x8877665544332211);
    g_assert_cmphex(fixed_ram_index_digest(back), ==,
                    fixed_ram_index_digest(index));
    index->table.key++;
    g_assert_cmphex(fixed_ram_index_digest(back), !=,
                    fixed_ram_index_digest(index));
    teardown(&f);
}

/* A full snapshot gets its key from its identity, a delta that of its base. */
static void test_choose_key(void)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autoptr(FixedRamIndex) base = fixed_ram_index_new();

    fixed_ram_index_choose_key(index, NULL);
    g_assert_cmphex(index->table.key, !=, 0);
    memcpy(index->id, "abcdefghijklmnop", FIXED_RAM_ID_BYTES);
    fixed_ram_index_choose_key(index, NULL);
    g_assert_cmphex(index->table.key, ==, 0x6867666564636261);
    fixed_ram_index_choose_key(index, base);
    g_assert_cmphex(index->table.key, ==, 0);
    base->table.key = 5;
    fixed_ram_index_choose_key(index, base);
    g_assert_cmphex(index->table.key, ==, 5);
}

/* A VM may have any name; reading it back yields UTF-8. */
static void test_strings(void)
{
    g_autofree char *many = g_strnfill(5000, 'x');
    g_autofree char *cut = g_strnfill(4096, 'x');
    g_autofree char *wide = g_strnfill(4095, 'x');
    const struct {
        const char *in, *out;
    } names[] = {
        { NULL, "" }, { "", "" }, { "a\nb", "a\nb" },
        { "\xff" "a", "\xef\xbf\xbd" "a" }, { many, cut },
        /* A character that does not fit is omitted as a whole. */
        { wide, wide },
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        bool longer = names[i].in == wide;
        g_autofree char *in = longer ? g_strconcat(wide, "\xc3\xbc", NULL)
                                     : g_strdup(names[i].in);
        g_autoptr(FixedRamIndex) index = NULL, back = NULL;
        Fixture f;

        setup(&f);
        index = get_index(&f, &error_abort);
        g_free(index->machine.name);
        index->machine.name = g_steal_pointer(&in);
        put_back(&f, index);
        back = get_index(&f, &error_abort);
        g_assert_cmpstr(back->machine.name, ==, names[i].out);
        teardown(&f);
    }
}

/*
 * Sections
 */

static void test_without(void)
{
    for (unsigned type = MACHINE; type < SECTIONS; type++) {
        g_autoptr(FixedRamIndex) index = NULL;
        Fixture f;

        setup_as(&f, START, &(ImageIndexOptions) { .without = type });
        if (type == BLOCKS) {
            expect_refused(&f, "no section of blocks");
        } else if (type == STREAM) {
            expect_refused(&f, "no section of the stream's parts");
        } else {
            index = get_index(&f, &error_abort);
            g_assert_cmpint(index->has_machine, ==, type != MACHINE);
            g_assert_nonnull(index->machine.type);
            g_assert_cmpint(index->has_sums, ==,
                            type != SUMS && fixed_ram_sums_built());
            g_assert_true(read_all(&f, &error_abort));
        }
        teardown(&f);
    }
}

static void test_unknown(void)
{
    static const uint32_t types[] = { 7, 99, 1000, UINT32_MAX };

    for (size_t i = 0; i < ARRAY_SIZE(types) * 2; i++) {
        ImageIndexOptions o = {
            .extra = types[i / 2], .extra_first = i % 2,
        };
        Fixture f;

        setup_as(&f, START, &o);
        check_good(&f, fixed_ram_sums_built());
        teardown(&f);

        o.extra_flags = 1;
        setup_as(&f, START, &o);
        expect_refused(&f, "cannot be loaded without it");
        teardown(&f);

        o.extra_flags = 2;
        setup_as(&f, START, &o);
        expect_refused(&f, "flags 0x2");
        teardown(&f);
    }
}

static void test_twice(void)
{
    for (unsigned type = MACHINE; type < SECTIONS; type++) {
        ImageIndexOptions o = { .extra = type };
        bool there = type != SUMS || fixed_ram_sums_built();
        Fixture f;

        setup_as(&f, START, &o);
        expect_refused(&f, there ? "is there twice" : "");
        teardown(&f);
    }
}

/*
 * Fields
 */

typedef struct SectionSpoil {
    unsigned section;           /* 0: the header */
    int at;                     /* in its payload */
    unsigned width;
    SpoilHow how;
    uint64_t value;
    const char *words;
} SectionSpoil;

static const SectionSpoil spoils[] = {
    { 0, 0, 8, SET, 0, "does not begin with 'QFXRINDX'" },
    { 0, 8, 4, SET, 2, "version 2" },
    { 0, 8, 4, SET, 0, "version 0" },
    { 0, 12, 4, SET, 0, "goes on" },
    { 0, 12, 4, ADD, -1, "goes on" },
    { 0, 12, 4, ADD, 1, "in the middle" },
    { 0, 12, 4, SET, UINT32_MAX, "in the middle" },
    { 0, 16, 8, ADD, 1, "another snapshot" },
    { 0, 24, 8, ADD, 1, "another snapshot" },
    { MACHINE, -16, 4, SET, 0, "type 0" },
    { MACHINE, -16, 4, SET, BLOCKS, "is there twice" },
    { MACHINE, -12, 4, SET, 2, "flags 0x2" },
    { MACHINE, -12, 4, SET, 0x80000000, "flags 0x80000000" },
    { MACHINE, -8, 8, SET, 0, "in the middle" },
    { MACHINE, -8, 8, ADD, 8, "must be zero" },
    { MACHINE, -8, 8, ADD, -1, "must be zero" },
    { MACHINE, -8, 8, ADD, 1, "longer than its fields" },
    { MACHINE, -8, 8, SET, UINT64_MAX, "in the middle" },
    { MACHINE, -8, 8, SET, UINT64_MAX - 7, "in the middle" },
    { MACHINE, NAMES_AT, 4, SET, 4097, "4097 bytes" },
    { MACHINE, NAMES_AT, 4, SET, UINT32_MAX, "bytes" },
    { MACHINE, NAMES_AT, 4, SET, 4096, "in the middle" },
    { MACHINE, NAMES_AT + 4, 1, SET, 0, "zero byte" },
    { MACHINE, NAMES_AT + 4, 1, SET, 0xff, "UTF-8" },
    { MACHINE, NAMES_AT + 4, 1, SET, 0xc3, "UTF-8" },
    { BLOCKS, -8, 8, ADD, -8, "flags" },
    { BLOCKS, -8, 8, SET, 0, "is there twice" },
    { BLOCKS, 0, 4, SET, 0, "0 blocks" },
    { BLOCKS, 0, 4, SET, 1, "1 blocks" },
    { BLOCKS, 0, 4, SET, 3, "3 blocks" },
    { BLOCKS, 0, 4, SET, UINT32_MAX, "blocks" },
    { BLOCKS, 4, 4, SET, 1, "must be zero" },
    { BLOCKS, BLOCK0, 8, ADD, IMAGE_PAGE, "'pc.ram'" },
    { BLOCKS, BLOCK0, 8, SET, 0, "has length 0x0, but the stream" },
    { BLOCKS, BLOCK0 + 8, 8, SET, 8192, "'pc.ram'" },
    { BLOCKS, BLOCK0 + 8, 8, SET, 0, "'pc.ram'" },
    { BLOCKS, BLOCK0 + 16, 8, ADD, 8, "'pc.ram'" },
    { BLOCKS, BLOCK0 + 24, 8, ADD, IMAGE_PAGE, "'pc.ram'" },
    { BLOCKS, BLOCK0 + 32, 8, SET, 101, "101 pages" },
    { BLOCKS, BLOCK0 + 32, 8, SET, UINT64_MAX, "more than its 100 pages" },
    { BLOCKS, BLOCK0 + 40, 4, SET, 256, "256 bytes" },
    { BLOCKS, BLOCK0 + 40, 4, SET, UINT32_MAX, "a block's name" },
    { BLOCKS, BLOCK0 + 40, 4, SET, 0, "must be zero" },
    { BLOCKS, BLOCK0 + 40, 4, SET, 5, "must be zero" },
    { BLOCKS, BLOCK0 + 40, 4, SET, 7, "zero byte" },
    { BLOCKS, BLOCK0 + 44, 1, SET, 'q', "the stream has 'pc.ram'" },
    { BLOCKS, BLOCK0 + 46, 1, SET, 0, "zero byte" },
    { BLOCKS, BLOCK0 + 50, 1, SET, 1, "must be zero" },
    { BLOCKS, BLOCK1, 8, ADD, -IMAGE_PAGE, "vga.rom'" },
    { BLOCKS, BLOCK1 + 40, 4, SET, 255, "in the middle" },
    { STREAM, 0, 4, SET, 1, "1 parts" },
    { STREAM, 0, 4, SET, 3, "3 parts" },
    { STREAM, 4, 4, SET, 1, "must be zero" },
    { STREAM, HEAD, 4, SET, 2, "expected part 1" },
    { STREAM, HEAD + 4, 4, SET, 1, "part 1" },
    { STREAM, HEAD + 8, 8, ADD, 1, "part 1" },
    { STREAM, HEAD + 16, 8, ADD, 1, "part 1" },
    { STREAM, HEAD + 16, 8, SET, 0, "part 1" },
    { STREAM, TAIL, 4, SET, 1, "expected part 2" },
    { STREAM, TAIL, 4, SET, 3, "expected part 2" },
    { STREAM, TAIL + 8, 8, ADD, -1, "part 2" },
    { STREAM, TAIL + 16, 8, ADD, -1, "part 2" },
    { STREAM, TAIL + 16, 8, SET, UINT64_MAX, "part 2" },
};

static const SectionSpoil sums_spoils[] = {
    { STREAM, -8, 8, ADD, -8, "flags" },
    { STREAM, -8, 8, ADD, -1, "must be zero" },
    { SUMS, 0, 4, SET, 0, "found checksums of algorithm" },
    { SUMS, 0, 4, SET, 2, "in the middle of a field" },
    { SUMS, 0, 4, SET, 3, "found checksums of algorithm" },
    { SUMS, 4, 4, SET, 4096, "found checksums of algorithm" },
    { SUMS, 4, 4, SET, 0, "found checksums of algorithm" },
    { SUMS, 8, 4, SET, 65536, "found checksums of algorithm" },
    { SUMS, 8, 4, SET, 0, "found checksums of algorithm" },
    { SUMS, 12, 4, SET, 1, "found checksums of algorithm" },
    { SUMS, 16, 8, ADD, 1, "does not lie behind the stream's end" },
    { SUMS, 16, 8, ADD, -4096, "does not lie behind the stream's end" },
    { SUMS, 16, 8, SET, 0, "does not lie behind the stream's end" },
    { SUMS, 16, 8, SET, -64, "does not lie behind the stream's end" },
    { SUMS, 16, 8, SET, -8, "does not lie behind the stream's end" },
    { SUMS, 24, 8, SET, 0, "8 clusters" },
    { SUMS, 24, 8, ADD, 8, "8 clusters" },
    { SUMS, 24, 8, ADD, -8, "8 clusters" },
    { SUMS, 24, 8, SET, UINT64_MAX, "8 clusters" },
    { SUMS, BITMAP_SUMS, 8, SET, 1, "bitmaps, expected 2" },
    { SUMS, BITMAP_SUMS, 8, SET, 3, "bitmaps, expected 2" },
    { SUMS, BITMAP_SUMS, 8, SET, UINT64_MAX, "bitmaps, expected 2" },
    { SUMS, CHUNK_SUMS, 8, SET, 0, "0 chunks" },
    { SUMS, CHUNK_SUMS, 8, SET, 2, "2 chunks" },
    { SUMS, CHUNK_SUMS, 8, SET, UINT64_MAX, "chunks" },
    { SUMS, -8, 8, ADD, -8, "goes on after its sections" },
    { SUMS, -8, 8, ADD, -1, "must be zero" },
    { SUMS, -8, 8, SET, 16, "goes on after its sections" },
};

static void spoil_one(const SectionSpoil *s)
{
    Fixture f;

    setup(&f);
    spoil_field(section_bytes(&f, s->section) + s->at, s->width, s->how,
                s->value);
    image_seal(f.img, &f.at);
    expect_refused(&f, s->words);
    teardown(&f);
}

static void test_fields(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        g_test_message("row %zu: %s", i, spoils[i].words);
        spoil_one(&spoils[i]);
    }
    for (size_t i = 0; fixed_ram_sums_built() && i < ARRAY_SIZE(sums_spoils);
         i++) {
        g_test_message("row %zu of sums: %s", i, sums_spoils[i].words);
        spoil_one(&sums_spoils[i]);
    }
}

/* The table's offset may collide with the index or the stream. */
static void test_table_place(void)
{
    static const int64_t from_index[] = { -8, 0, 8, 64 };
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup(&f);
    for (size_t i = 0; i < ARRAY_SIZE(from_index); i++) {
        stq_le_p(section_bytes(&f, SUMS) + 16, f.at.index + from_index[i]);
        image_seal(f.img, &f.at);
        expect_refused(&f, "does not lie behind the stream's end");
    }
    stq_le_p(section_bytes(&f, SUMS) + 16,
             ROUND_DOWN(f.at.stream_end - 1, 8));
    image_seal(f.img, &f.at);
    expect_refused(&f, "does not lie behind the stream's end");

    /* The table fits between both at several offsets. */
    stq_le_p(section_bytes(&f, SUMS) + 16, f.at.index - f.at.table_length);
    memmove(f.img->bytes->data + f.at.index - f.at.table_length,
            f.img->bytes->data + f.at.table, f.at.table_length);
    image_seal(f.img, &f.at);
    g_assert_true(read_all(&f, &error_abort));
    teardown(&f);
}

/* The table may lie behind the index if it ends within the file. */
static void test_table_behind(void)
{
    uint64_t length;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup(&f);
    length = f.img->bytes->len;
    g_assert_cmpuint(length, ==, f.at.index + f.at.index_length);
    g_byte_array_append(f.img->bytes, f.img->bytes->data + f.at.table,
                        f.at.table_length);
    stq_le_p(section_bytes(&f, SUMS) + 16, length);
    image_seal(f.img, &f.at);
    f.img->parent.size = f.img->bytes->len;
    g_assert_true(read_all(&f, &error_abort));
    f.img->parent.size--;
    expect_refused(&f, "does not lie behind the stream's end");
    teardown(&f);
}

/* A sparse file may claim more checksums than there is memory for. */
static void test_huge_table(void)
{
    g_autoptr(FixedRamRamSection) s = NULL;
    const uint64_t length = 1ULL << 60, clusters = length / IMAGE_CLUSTER + 1;
    FixedRamSuperblock sb;
    Error *err = NULL;
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup(&f);
    s = parse_ram(&f.img->parent, START, IMAGE_PAGE, &error_abort);
    fixed_ram_ramsection_block(s, 0)->length = length;
    stq_le_p(section_bytes(&f, BLOCKS) + BLOCK0, length);
    stq_le_p(section_bytes(&f, SUMS) + 16, 1ULL << 40);
    stq_le_p(section_bytes(&f, SUMS) + 24, clusters * 8);
    stq_le_p(section_bytes(&f, SUMS) + CHUNK_SUMS,
             DIV_ROUND_UP(clusters * 8, 4096));
    image_seal(f.img, &f.at);
    f.img->parent.size = 1ULL << 62;
    g_assert_true(parse_superblock(&f.img->parent, s, &sb, &error_abort));
    g_assert_null(fixed_ram_index_read(&f.img->parent, s, &sb, NULL, &err));
    check_error(err, "chunks");
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/index/good", test_good);
    g_test_add_func("/fixed-ram/index/file-goes-on", test_file_goes_on);
    g_test_add_func("/fixed-ram/index/encode", test_encode);
    g_test_add_func("/fixed-ram/index/clean", test_clean);
    g_test_add_func("/fixed-ram/index/key", test_key);
    g_test_add_func("/fixed-ram/index/choose-key", test_choose_key);
    g_test_add_func("/fixed-ram/index/strings", test_strings);
    g_test_add_func("/fixed-ram/index/wrong-sums", test_wrong_sums);
    g_test_add_func("/fixed-ram/index/without", test_without);
    g_test_add_func("/fixed-ram/index/unknown", test_unknown);
    g_test_add_func("/fixed-ram/index/twice", test_twice);
    g_test_add_func("/fixed-ram/index/fields", test_fields);
    g_test_add_func("/fixed-ram/index/table-place", test_table_place);
    g_test_add_func("/fixed-ram/index/table-behind", test_table_behind);
    g_test_add_func("/fixed-ram/index/huge-table", test_huge_table);
    return g_test_run();
}
