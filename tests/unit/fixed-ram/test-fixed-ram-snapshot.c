/*
 * fixed-ram: unit tests of the opener, and of what it says about a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/digest.h"
#include "migration/fixed-ram/format/snapshot.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/util/text.h"
#include "image-index.h"

static FixedRamSnapshot *examine(Image *img)
{
    FixedRamSnapshot *s = fixed_ram_snapshot_examine(&img->parent, img->start,
                                                     0);

    g_assert_cmpint(!s->problem, ==, s->verdict == FIXED_RAM_VERDICT_GOOD);
    g_assert_cmpint(img->parent.refs, ==, 2);
    return s;
}

static void expect(Image *img, FixedRamFileKind kind, FixedRamVerdict verdict)
{
    g_autoptr(FixedRamSnapshot) s = examine(img);

    if (s->problem) {
        g_test_message("%s", error_get_pretty(s->problem));
    }
    g_assert_cmpint(s->kind, ==, kind);
    g_assert_cmpint(s->verdict, ==, verdict);
}

/* A complete snapshot with an index, one without, and a plain stream. */
static void test_kinds(void)
{
    static const char *const none[] = { NULL };
    g_autoptr(Image) mapped = image_new(&(ImageOptions) { .start = 77 });
    g_autoptr(Image) fixed = image_new(&(ImageOptions) { });
    g_autoptr(Image) plain = image_new(&(ImageOptions) { .caps = none });
    ImageIndex at;

    image_fill(fixed);
    image_add_index(fixed, &(ImageIndexOptions) { }, &at);
    expect(mapped, FIXED_RAM_FILE_KIND_MAPPED_RAM, FIXED_RAM_VERDICT_GOOD);
    expect(fixed, FIXED_RAM_FILE_KIND_FIXED_RAM, FIXED_RAM_VERDICT_GOOD);
    expect(plain, FIXED_RAM_FILE_KIND_STREAM, FIXED_RAM_VERDICT_GOOD);
    image_set(plain, MAGIC, 4, 0);
    expect(plain, FIXED_RAM_FILE_KIND_NONE, FIXED_RAM_VERDICT_CORRUPT);
    mapped->error = EIO;
    expect(mapped, FIXED_RAM_FILE_KIND_NONE, FIXED_RAM_VERDICT_UNREADABLE);
}

/* An intact stream that another QEMU understands is not called corrupt. */
static void test_not_understood(void)
{
    static const char *const shared[] = {
        "mapped-ram", "x-ignore-shared", NULL
    };
    static const ImageOptions options[] = {
        { .caps = shared }, { .extra = "configuration/colour" },
    };
    static const Field versions[] = { SECTION_VERSION, VERSION0, VERSION1 };

    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        g_autoptr(Image) img = image_new(&options[i]);
        g_autoptr(FixedRamSnapshot) s = examine(img);

        g_assert_cmpint(s->verdict, ==, FIXED_RAM_VERDICT_NOT_UNDERSTOOD);
    }
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        g_autoptr(Image) img = image_new(&(ImageOptions) { });
        g_autoptr(FixedRamSnapshot) s = NULL;

        image_set(img, versions[i], 4, 17);
        s = examine(img);
        g_assert_cmpint(s->verdict, ==, FIXED_RAM_VERDICT_NOT_UNDERSTOOD);
        g_assert_nonnull(strstr(error_get_pretty(s->problem), "version 17"));
    }
}

/* The same for superblock and index, whose checksums are right. */
static void test_index_not_understood(void)
{
    static const ImageIndexOptions required = {
        .extra = 99, .extra_flags = 1,
    };
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(Image) extra = image_new(&(ImageOptions) { });
    ImageIndex at;

    image_add_index(extra, &required, &at);
    expect(extra, FIXED_RAM_FILE_KIND_FIXED_RAM,
           FIXED_RAM_VERDICT_NOT_UNDERSTOOD);

    image_add_index(img, &(ImageIndexOptions) { }, &at);
    stl_le_p(img->bytes->data + at.index + 8, 2);
    expect(img, FIXED_RAM_FILE_KIND_FIXED_RAM, FIXED_RAM_VERDICT_CORRUPT);
    image_seal(img, &at);
    expect(img, FIXED_RAM_FILE_KIND_FIXED_RAM,
           FIXED_RAM_VERDICT_NOT_UNDERSTOOD);
    stl_le_p(img->bytes->data + at.superblock + 8, 2);
    expect(img, FIXED_RAM_FILE_KIND_FIXED_RAM, FIXED_RAM_VERDICT_CORRUPT);
    image_seal_superblock(img, &at);
    expect(img, FIXED_RAM_FILE_KIND_FIXED_RAM,
           FIXED_RAM_VERDICT_NOT_UNDERSTOOD);
}

/* A save that was cut off is told as that, whatever else is missing. */
static void test_cut_off(void)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });

    image_cut_off(img);
    expect(img, FIXED_RAM_FILE_KIND_FIXED_RAM, FIXED_RAM_VERDICT_CUT_OFF);
    img->parent.size = img->at[PAGES1];
    expect(img, FIXED_RAM_FILE_KIND_FIXED_RAM, FIXED_RAM_VERDICT_CUT_OFF);
}

/* Names and messages do not carry a file's control characters. */
static void test_printable(void)
{
    static const struct {
        const char *name, *shown;
    } rows[] = {
        { "p\x1b.ram", "'p?.ram'" }, { "pc\nram", "'pc?ram'" },
        { "pc\x7fram", "'pc?ram'" }, { "p\xc2\x9bram", "'p?ram'" },
        { "pc\x9bram", "'pc\xef\xbf\xbdram'" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(Image) img = image_new(&(ImageOptions) { });
        g_autoptr(FixedRamSnapshot) s = NULL;
        const char *text;

        memcpy(img->bytes->data + img->at[NAME0] + 1, rows[i].name, 6);
        s = examine(img);
        text = error_get_pretty(s->problem);
        g_test_message("%s", text);
        g_assert_true(fixed_ram_text_is_printable(text));
        g_assert_nonnull(strstr(text, rows[i].shown));
    }
}

static bool same(Image *a, Image *b, const char *words)
{
    g_autoptr(FixedRamSnapshot) x = examine(a);
    g_autoptr(FixedRamSnapshot) y = examine(b);
    Error *err = NULL;

    g_assert_true(fixed_ram_snapshot_identify(x, &error_abort));
    if (fixed_ram_snapshot_same(x, y, &err)) {
        return true;
    }
    g_assert_nonnull(strstr(error_get_pretty(err), words));
    error_free(err);
    return false;
}

/* Without an identity everything but the pages is compared. */
static void test_same_mapped(void)
{
    static const Field fields[] = {
        MACHINE_LENGTH, HEADER_END0, HEADER_END1, NEXT_SECTION,
    };
    g_autoptr(Image) img = image_new(&(ImageOptions) { .start = 5 });

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        g_autoptr(Image) copy = image_new(&(ImageOptions) { .start = 5 });
        uint8_t *byte = copy->bytes->data + copy->at[fields[i]];

        g_assert_true(same(img, copy, ""));
        /* In the machine's name, in the bitmaps, in the devices' state. */
        byte[fields[i] == MACHINE_LENGTH ? 4 : 0] ^= 2;
        g_assert_false(same(img, copy, "devices' states differ"));
        byte[fields[i] == MACHINE_LENGTH ? 4 : 0] ^= 2;
        g_assert_true(same(img, copy, ""));
        copy->bytes->data[image_get(copy, PAGES0, 8)] ^= 1;
        g_assert_true(same(img, copy, ""));
    }
}

/* With one it is the identity that counts, and where the pages are. */
static void test_same_fixed(void)
{
    g_autoptr(Image) mapped = image_new(&(ImageOptions) { });
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(Image) copy = image_new(&(ImageOptions) { });
    g_autoptr(Image) moved = image_new(&(ImageOptions) { .start = MiB });
    ImageIndex at;

    image_add_index(img, &(ImageIndexOptions) { }, &at);
    image_add_index(moved, &(ImageIndexOptions) { }, &at);
    image_add_index(copy, &(ImageIndexOptions) { }, &at);
    g_assert_true(same(img, copy, ""));
    g_assert_false(same(img, mapped, "identities differ"));
    g_assert_false(same(mapped, img, "identities differ"));
    g_assert_false(same(img, moved, "with pages at offset"));
    copy->bytes->data[at.superblock + 16] ^= 1;
    copy->bytes->data[at.index + 16] ^= 1;
    image_seal(copy, &at);
    g_assert_false(same(img, copy, "identities differ"));
}

/* A few bytes of a file claim more than can be read in a lifetime. */
static void test_tail_claim(void)
{
    g_autoptr(FixedRamIndex) index = fixed_ram_index_new();
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(FixedRamDigest) digest = fixed_ram_digest_new(&img->parent);
    Error *err = NULL;

    if (!fixed_ram_sums_built()) {
        g_test_skip("this build has no libxxhash");
        return;
    }
    index->has_sums = true;
    index->head.sum = fixed_ram_digest_get(digest);
    index->tail.length = 4 * TiB;
    g_assert_false(fixed_ram_index_verify_stream(index, &img->parent, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "has 0x40000000000 bytes"));
    error_free(err);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/snapshot/kinds", test_kinds);
    g_test_add_func("/fixed-ram/snapshot/not-understood", test_not_understood);
    g_test_add_func("/fixed-ram/snapshot/index-not-understood",
                    test_index_not_understood);
    g_test_add_func("/fixed-ram/snapshot/cut-off", test_cut_off);
    g_test_add_func("/fixed-ram/snapshot/printable", test_printable);
    g_test_add_func("/fixed-ram/snapshot/same-mapped", test_same_mapped);
    g_test_add_func("/fixed-ram/snapshot/same-fixed", test_same_fixed);
    g_test_add_func("/fixed-ram/snapshot/tail-claim", test_tail_claim);
    return g_test_run();
}
