/*
 * fixed-ram: unit tests of damage to index and stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/sums.h"
#include "indexed.h"
#include "parse.h"

static void flip(Fixture *f, uint64_t at, unsigned bit)
{
    f->img->bytes->data[at] ^= 1 << bit;
}

/* Flip each bit of [@from, @to): each one must be noticed. */
static void check_flips(Fixture *f, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            flip(f, at, bit);
            if (!is_damaged(f)) {
                g_test_message("bit %u at 0x%" PRIx64 " may be flipped", bit,
                               at);
                g_test_fail();
            }
            flip(f, at, bit);
        }
    }
    g_assert_false(is_damaged(f));
}

static void test_flips(void)
{
    for (int no_sums = 0; no_sums <= 1; no_sums++) {
        Fixture f;

        setup_as(&f, START, &(ImageIndexOptions) { .no_sums = no_sums });
        check_flips(&f, f.at.index, f.at.index + f.at.index_length);
        teardown(&f);
    }
}

/* The stream without padding and pages, and the table of checksums. */
static void test_stream_flips(void)
{
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup(&f);
    check_flips(&f, START, f.img->at[HEADER_END0] + 16);
    check_flips(&f, f.img->at[NAME1], f.img->at[HEADER_END1] + 8);
    check_flips(&f, f.img->at[STREAM_END], f.at.stream_end);
    check_flips(&f, f.at.table, f.at.table + f.at.table_length);
    teardown(&f);
}

/* Is a change of byte @at legal once the index's CRC is right? */
static bool means_nothing(const Fixture *f, uint64_t at)
{
    uint64_t machine = f->at.payload[MACHINE];

    /* The description of the machine, and whether there is one. */
    if ((at >= machine && at < f->at.payload[BLOCKS] - 16) ||
        at - (machine - 16) < 4) {
        return true;
    }
    /* Whether a reader must know the section. */
    for (unsigned type = MACHINE; type < SECTIONS; type++) {
        if (at - (f->at.payload[type] - 12) < 4) {
            return true;
        }
    }
    return false;
}

/* Flip each bit of the index and make its CRC right. */
static void test_sealed_flips(void)
{
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup(&f);
    for (uint64_t at = f.at.index; at < f.at.index + f.at.index_length; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            flip(&f, at, bit);
            image_seal(f.img, &f.at);
            if (!is_damaged(&f) && !means_nothing(&f, at)) {
                g_test_message("bit %u at 0x%" PRIx64 " of the index means "
                               "nothing", bit, at - f.at.index);
                g_test_fail();
            }
            flip(&f, at, bit);
        }
    }
    teardown(&f);
}

/* The file ends between pages and index, when it is opened or later. */
static void test_truncated(void)
{
    for (int later = 0; later <= 1; later++) {
        uint64_t end;
        Fixture f;

        setup(&f);
        end = f.img->bytes->len;
        while (--end > f.img->at[STREAM_END]) {
            g_byte_array_set_size(f.img->bytes, end);
            f.img->parent.size = later ? f.at.index + f.at.index_length : end;
            g_assert_true(is_damaged(&f));
        }
        teardown(&f);
    }
}

/*
 * What the stream holds
 */

static void test_verify(void)
{
    Fixture f;

    if (without_sums()) {
        return;
    }
    setup(&f);
    /* Only the checksum covers this byte. */
    flip(&f, f.img->at[MACHINE_LENGTH] + 5, 0);
    expect_damaged(&f, "the stream's head at offset 0x11171 has checksum 0x");
    flip(&f, f.img->at[MACHINE_LENGTH] + 5, 0);

    flip(&f, f.img->at[HEADER_END0] + 2, 0);
    expect_damaged(&f, "block 'pc.ram': the bitmap at offset 0x");
    flip(&f, f.img->at[HEADER_END0] + 2, 0);

    flip(&f, f.img->at[HEADER_END1], 1);
    expect_damaged(&f, "block '0000:00:02.0/vga.rom': the bitmap at offset");
    flip(&f, f.img->at[HEADER_END1], 1);

    flip(&f, f.at.stream_end - 1, 1);
    expect_damaged(&f, "the devices' state at offset 0x");
    flip(&f, f.at.stream_end - 1, 1);
    g_assert_true(read_all(&f, &error_abort));

    /* The index counts one page more than the bitmap. */
    section_bytes(&f, BLOCKS)[BLOCK1 + 32]++;
    image_seal(f.img, &f.at);
    expect_damaged(&f, "pages with data, expected");
    teardown(&f);
}

/* States of about the size that is read at once, and of twice that. */
static void test_verify_long(void)
{
    static const uint64_t lengths[] = {
        MiB - 1, MiB, MiB + 1, 3 * MiB + 5,
    };

    if (without_sums()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        g_autofree uint8_t *state = g_malloc(lengths[i]);
        Fixture f = { .img = image_new(&(ImageOptions) { }) };

        memset(state, 0xa5, lengths[i]);
        g_byte_array_append(f.img->bytes, state, lengths[i]);
        image_add_index(f.img, &(ImageIndexOptions) { }, &f.at);
        g_assert_true(read_all(&f, &error_abort));
        flip(&f, f.at.stream_end - 1, 7);
        expect_damaged(&f, "the devices' state");
        teardown(&f);
    }
}

/* A read that fails is told as that, not as damage. */
static void test_read_error(void)
{
    g_autoptr(FixedRamRamSection) s = NULL;
    g_autoptr(FixedRamIndex) index = NULL;
    FixedRamSuperblock sb;
    Error *err = NULL;
    Fixture f;

    setup(&f);
    s = parse_ram(&f.img->parent, START, IMAGE_PAGE, &error_abort);
    parse_superblock(&f.img->parent, s, &sb, &error_abort);
    index = fixed_ram_index_read(&f.img->parent, s, &sb, NULL, &error_abort);
    f.img->error = EIO;
    g_assert_null(fixed_ram_index_read(&f.img->parent, s, &sb, NULL, &err));
    check_error(err, "Input/output error");
    err = NULL;
    if (fixed_ram_sums_built()) {
        g_assert_false(fixed_ram_index_verify_stream(index, &f.img->parent,
                                                     &err));
        check_error(err, "Input/output error");
    } else {
        g_assert_true(fixed_ram_index_verify_stream(index, &f.img->parent,
                                                    &error_abort));
    }
    teardown(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/damage/flips", test_flips);
    g_test_add_func("/fixed-ram/damage/stream-flips", test_stream_flips);
    g_test_add_func("/fixed-ram/damage/sealed-flips", test_sealed_flips);
    g_test_add_func("/fixed-ram/damage/truncated", test_truncated);
    g_test_add_func("/fixed-ram/damage/verify", test_verify);
    g_test_add_func("/fixed-ram/damage/verify-long", test_verify_long);
    g_test_add_func("/fixed-ram/damage/read-error", test_read_error);
    return g_test_run();
}
