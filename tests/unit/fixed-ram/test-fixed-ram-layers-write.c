/*
 * fixed-ram: unit tests of giving a delta other paths of its layers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/append.h"
#include "migration/fixed-ram/format/space.h"
#include "loader.h"
#include "set-file.h"

#define END     { TOUCHES_END }

#define OLD     "base.snap"
#define NEW     "/moved/to/base.snap"

static const Touch large[] = { { 0, 0, 100 }, { 1, 0, 16 }, END };
static const Touch small[] = { { 0, 11, 3 }, { 1, 4, 2 }, END };

/* False: there are no checksums, so the test is skipped. */
static bool setup_delta(SetFile *file)
{
    if (without_sums()) {
        return false;
    }
    set_file_setup_delta(file, OLD);
    return true;
}

static void expect(const SetFile *file, const char *path,
                   const Touch *touches)
{
    g_autoptr(GByteArray) bytes = set_file_bytes(file);

    g_assert_true(set_file_names(file, bytes, path));
    g_assert_true(set_file_holds(file, bytes, touches, true));
}

static void move(SetFile *file, const char *path)
{
    g_assert_true(set_file_move(file, path, &error_abort));
    set_file_reopen(file);
}

static void write_set(SetFile *file, const Touch *touches)
{
    g_assert_true(set_file_write(file, touches, true, &error_abort));
    set_file_reopen(file);
}

/* A section of the index in @bytes, header and all, or NULL. */
static const uint8_t *find_section(const SetFile *file,
                                   const GByteArray *bytes, uint32_t type,
                                   size_t *length)
{
    uint64_t superblock = file->f.at.superblock;
    uint64_t at = ldq_le_p(bytes->data + superblock + 48);
    uint64_t end = at + ldq_le_p(bytes->data + superblock + 56);

    for (at += 32; at < end; at += *length) {
        *length = 16 + ROUND_UP(ldq_le_p(bytes->data + at + 8), 8);
        if (ldl_le_p(bytes->data + at) == type) {
            return bytes->data + at;
        }
    }
    return NULL;
}

/* All sections are as they were saved, but for LAYERS and what is new. */
static void test_kept(void)
{
    g_autoptr(GByteArray) before = NULL, after = NULL;
    uint64_t digest;
    SetFile file;
    size_t was, is;

    if (!setup_delta(&file)) {
        return;
    }
    before = set_file_bytes(&file);
    write_set(&file, large);
    digest = fixed_ram_index_digest(file.s->index);
    move(&file, NEW);
    after = set_file_bytes(&file);
    for (uint32_t type = MACHINE; type <= 16; type++) {
        const uint8_t *old = find_section(&file, before, type, &was);
        const uint8_t *new = find_section(&file, after, type, &is);

        if (type == LAYERS) {
            g_assert_cmpint(ldl_le_p(new + 4), ==, SECTION_REQUIRED);
        } else if (old) {
            g_assert_nonnull(new);
            g_assert_cmpmem(old, was, new, is);
        }
    }
    /* What other deltas have recorded of this one. */
    g_assert_cmpmem(file.s->index->id, 16, IMAGE_ID, 16);
    g_assert_cmphex(fixed_ram_index_digest(file.s->index), ==, digest);
    expect(&file, NEW, large);
    set_file_teardown(&file);
}

/* A set that comes or goes afterwards leaves the new path alone. */
static void test_set_after(void)
{
    SetFile file;

    if (!setup_delta(&file)) {
        return;
    }
    move(&file, NEW);
    expect(&file, NEW, NULL);
    write_set(&file, small);
    expect(&file, NEW, small);
    g_assert_true(fixed_ram_working_set_drop(file.s, &error_abort));
    expect(&file, NEW, NULL);
    set_file_teardown(&file);
}

/* However often the path changes, the file does not grow without bound. */
static void test_repeated(void)
{
    uint64_t saved;
    SetFile file;

    if (!setup_delta(&file)) {
        return;
    }
    write_set(&file, small);
    saved = set_file_size(&file);
    for (unsigned i = 0; i < 40; i++) {
        const char *path = i % 3 ? NEW : "b";

        move(&file, path);
        expect(&file, path, small);
        g_assert_cmpuint(set_file_size(&file), <=, saved + 256 * KiB);
    }
    set_file_teardown(&file);
}

/*
 * The new index finds space before the set, which is the last part of the file:
 * the file must not be cut there.
 */
static void test_set_behind(void)
{
    uint64_t index;
    SetFile file;

    if (!setup_delta(&file)) {
        return;
    }
    write_set(&file, large);
    write_set(&file, small);
    move(&file, NEW);
    index = file.s->sb.index_offset;
    g_assert_cmpuint(index, <, file.s->index->set.pack_offset);
    g_assert_cmpuint(fixed_ram_space_end(&file.s->index->space), ==,
                     set_file_size(&file));
    expect(&file, NEW, small);
    set_file_teardown(&file);
}

/* What a section refers to stays there, even if it is not understood here. */
static void test_unknown_set(void)
{
    static const uint8_t map[IMAGE_CLUSTERS];
    static const ImageLayer layer = { "id of the base..", 1, 0, OLD };
    static const ImageRun run = { .pages = 1, .flags = 1, .first = 1 };
    g_autoptr(GByteArray) bytes = NULL;
    SetFile file;
    Fixture *f = &file.f;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &(ImageIndexOptions) {
                       .runs = &run, .run_count = 1, .pack = true,
                       .layers = &layer, .layer_count = 1, .map = map,
                   });
    spoil_field(section_bytes(f, WORKING_SET), 4, SET, 9);
    image_seal(f->img, &f->at);
    set_file_put(&file, f->img->bytes);
    set_file_reopen(&file);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_nonnull(file.s->index->set_problem);
        move(&file, NEW);
    }
    bytes = set_file_bytes(&file);
    g_assert_cmpmem(bytes->data + f->at.pack, f->at.pack_length,
                    f->img->bytes->data + f->at.pack, f->at.pack_length);
    g_assert_cmpmem(bytes->data + f->at.list, f->at.list_length,
                    f->img->bytes->data + f->at.list, f->at.list_length);
    set_file_teardown(&file);
}

/* What lay in the file when another process opened it stays there. */
static void test_other_loader(void)
{
    g_autoptr(GByteArray) before = NULL, after = NULL;
    Loader loader;
    SetFile file;

    if (!setup_delta(&file)) {
        return;
    }
    write_set(&file, large);
    write_set(&file, small);
    before = set_file_bytes(&file);
    loader = start_loader(file.path, START);
    move(&file, NEW);
    move(&file, OLD);
    move(&file, NEW);
    after = set_file_bytes(&file);
    g_assert_cmpmem(after->data + file.f.at.stream_end,
                    before->len - file.f.at.stream_end,
                    before->data + file.f.at.stream_end,
                    before->len - file.f.at.stream_end);
    end_loader(loader);
    expect(&file, NEW, small);
    set_file_teardown(&file);
}

static bool move_once(SetFile *file, Error **errp)
{
    return set_file_move(file, NEW, errp);
}

static void test_busy(void)
{
    FixedRamAppend *other;
    SetFile file;

    if (without_locks() || !setup_delta(&file)) {
        return;
    }
    other = fixed_ram_append_begin(file.s, SECTION_LAYERS, &error_abort);
    set_file_expect_busy(&file, move_once);
    fixed_ram_append_end(other);
    move(&file, NEW);
    expect(&file, NEW, NULL);
    set_file_teardown(&file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/layers-write/kept", test_kept);
    g_test_add_func("/fixed-ram/layers-write/set-after", test_set_after);
    g_test_add_func("/fixed-ram/layers-write/repeated", test_repeated);
    g_test_add_func("/fixed-ram/layers-write/set-behind", test_set_behind);
    g_test_add_func("/fixed-ram/layers-write/unknown-set", test_unknown_set);
    g_test_add_func("/fixed-ram/layers-write/other-loader",
                    test_other_loader);
    g_test_add_func("/fixed-ram/layers-write/busy", test_busy);
    return g_test_run();
}
