/*
 * fixed-ram: unit tests of writing a working set into a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "qapi/error.h"
#include "set-file.h"

#define END     { TOUCHES_END }

static const ImageIndexOptions usual = { };

/* Pages 4 to 6 of each 7 have data, and the first and the last one. */
static const Touch few[] = { { 0, 11, 3 }, { 1, 4, 2 }, { 0, 1, 1 }, END };

static int open_error;          /* of the next file opened for writing */

/* Takes the place of the C library's function in this program. */
int open(const char *path, int flags, ...)
{
    va_list args;
    int mode;

    va_start(args, flags);
    mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    if (open_error && (flags & O_ACCMODE) == O_RDWR) {
        errno = open_error;
        return -1;
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/*
 * What is written
 */

static void write_and_expect(const Touch *touches)
{
    for (int pack = 0; pack <= 1; pack++) {
        SetFile file;

        set_file_setup(&file, &usual);
        g_assert_true(set_file_write(&file, touches, pack, &error_abort));
        set_file_expect(&file, touches, pack);
        set_file_teardown(&file);
    }
}

static void test_usual(void)
{
    if (!without_sums()) {
        write_and_expect(few);
    }
}

static void test_one_page(void)
{
    static const Touch first[] = { { 0, 0, 1 }, END };
    static const Touch last[] = { { 1, 15, 1 }, END };

    if (!without_sums()) {
        write_and_expect(first);
        write_and_expect(last);
    }
}

/* A record may be of a machine whose memory has changed since. */
static void test_outside(void)
{
    static const Touch outside[] = {
        { 2, 0, 5 }, { 0, 90, 100 }, { 0, 100, 1 }, { 1, 16, 1 },
        { UINT_MAX - 1, 0, 1 }, { 0, UINT64_MAX, 1 }, { 1, 3, UINT32_MAX },
        { 1, UINT64_MAX - 5, 10 }, { 0, 7, 2 }, END
    };

    if (!without_sums()) {
        write_and_expect(outside);
    }
}

static void test_twice(void)
{
    static const Touch twice[] = {
        { 0, 10, 5 }, { 0, 10, 5 }, { 0, 8, 10 }, { 1, 5, 1 }, { 0, 17, 1 },
        { 1, 4, 3 }, { 0, 0, 30 }, END
    };

    if (!without_sums()) {
        write_and_expect(twice);
    }
}

static void test_all_of_ram(void)
{
    static const Touch forwards[] = { { 0, 0, 100 }, { 1, 0, 16 }, END };
    Touch backwards[117];
    size_t n = 0;

    if (without_sums()) {
        return;
    }
    write_and_expect(forwards);
    for (unsigned block = IMAGE_BLOCKS; block--; ) {
        for (uint64_t page = image_block_pages[block]; page--; ) {
            backwards[n++] = (Touch) { block, page, 1 };
        }
    }
    backwards[n].block = TOUCHES_END;
    write_and_expect(backwards);
}

/* Pages 1 to 3 of each 7 are zero: there is nothing to pack. */
static void test_only_zeros(void)
{
    static const Touch zeros[] = { { 0, 1, 3 }, { 1, 9, 1 }, END };
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    g_assert_true(set_file_write(&file, zeros, true, &error_abort));
    set_file_expect(&file, zeros, false);
    set_file_teardown(&file);
}

static void test_result(void)
{
    g_autoptr(FixedRamWorkingSet) set = set_of(few);
    FixedRamSetOptions options = { .pack = true };
    FixedRamSetResult result;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    g_assert_true(fixed_ram_working_set_write(file.s, set, &options, &result,
                                              &error_abort));
    g_assert_cmpuint(result.pages, ==, 6);
    g_assert_cmpuint(result.data_pages, ==, 5);
    g_assert_cmpuint(result.pack_length, ==, 5 * IMAGE_PAGE);
    set_file_teardown(&file);
}

/* The new set takes the place of the old one, with and without a copy. */
static void test_replace(void)
{
    static const Touch other[] = { { 0, 40, 20 }, END };
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    for (unsigned i = 0; i < 8; i++) {
        const Touch *touches = i & 1 ? few : other;

        g_assert_true(set_file_write(&file, touches, i & 2, &error_abort));
        set_file_expect(&file, touches, i & 2);
        set_file_reopen(&file);
    }
    set_file_teardown(&file);
}

static void test_drop(void)
{
    Error *err = NULL;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    g_assert_false(fixed_ram_working_set_drop(file.s, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "has no working set"));
    error_free(err);
    g_assert_true(set_file_write(&file, few, true, &error_abort));
    set_file_reopen(&file);
    g_assert_true(fixed_ram_working_set_drop(file.s, &error_abort));
    set_file_expect(&file, NULL, false);
    set_file_teardown(&file);
}

/* A set that no reader uses can be dropped, and replaced. */
static void test_damaged_set(void)
{
    for (int drop = 0; drop <= 1; drop++) {
        SetFile file;

        if (without_sums()) {
            return;
        }
        set_file_setup(&file, &(ImageIndexOptions) { .extra = WORKING_SET });
        g_assert_nonnull(file.s->index->set_problem);
        if (drop) {
            g_assert_true(fixed_ram_working_set_drop(file.s, &error_abort));
        } else {
            g_assert_true(set_file_write(&file, few, true, &error_abort));
        }
        set_file_expect(&file, drop ? NULL : few, true);
        set_file_teardown(&file);
    }
}

static void test_without_checksums(void)
{
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &(ImageIndexOptions) { .no_sums = true });
    g_assert_true(set_file_write(&file, few, true, &error_abort));
    set_file_expect(&file, few, true);
    set_file_teardown(&file);
}

/* What a later version has put into the index stays there. */
static void test_unknown_section(void)
{
    g_autoptr(GByteArray) bytes = NULL;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &(ImageIndexOptions) {
                       .extra = 1000, .extra_first = true,
                   });
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(set_file_write(&file, few, true, &error_abort));
        set_file_expect(&file, few, true);
        set_file_reopen(&file);
        g_assert_true(file.s->index->has_unknown);
    }
    bytes = set_file_bytes(&file);
    g_assert_cmpmem(bytes->data + file.s->sb.index_offset + 32 + 16, 18,
                    "of a later version", 18);
    set_file_teardown(&file);
}

/*
 * What fails, and leaves the file as it was
 */

static void expect_unchanged(SetFile *file, const Touch *touches, bool pack,
                             const char *words)
{
    g_autoptr(GByteArray) before = set_file_bytes(file), after = NULL;
    Error *err = NULL;

    g_assert_false(set_file_write(file, touches, pack, &err));
    g_assert_nonnull(err);
    g_test_message("%s", error_get_pretty(err));
    g_assert_nonnull(strstr(error_get_pretty(err), file->path));
    g_assert_nonnull(strstr(error_get_pretty(err), words));
    error_free(err);
    after = set_file_bytes(file);
    g_assert_cmpmem(before->data, before->len, after->data, after->len);
}

static void test_nothing(void)
{
    static const Touch nothing[] = { END };
    static const Touch outside[] = { { 2, 0, 5 }, { 0, 100, 1 }, END };
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    expect_unchanged(&file, nothing, true, "no pages in its memory");
    expect_unchanged(&file, outside, true, "no pages in its memory");
    set_file_teardown(&file);
}

/* A page that is not what was saved must not get a checksum that says so. */
static void test_damaged_page(void)
{
    static const Touch elsewhere[] = { { 0, 64, 30 }, END };
    g_autoptr(GByteArray) bytes = NULL;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    bytes = set_file_bytes(&file);
    /* Page 32 belongs to the third cluster; the set has another page of it. */
    bytes->data[image_get(file.f.img, PAGES0, 8) + 32 * IMAGE_PAGE + 5] ^= 1;
    set_file_put(&file, bytes);
    expect_unchanged(&file, (Touch[]) { { 0, 40, 1 }, END }, true,
                     "block 'pc.ram' offset 0x20000: the content");
    g_assert_true(set_file_write(&file, elsewhere, true, &error_abort));
    set_file_teardown(&file);
}

static bool stop_after(void *opaque)
{
    unsigned *left = opaque;

    return *left && (*left)--;
}

static void test_given_up(void)
{
    g_autoptr(FixedRamWorkingSet) set = set_of(few);
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(GByteArray) before = set_file_bytes(&file), after = NULL;
        unsigned left = i;
        FixedRamSetOptions options = {
            .pack = true, .go_on = stop_after, .opaque = &left,
        };
        Error *err = NULL;

        g_assert_false(fixed_ram_working_set_write(file.s, set, &options, NULL,
                                                   &err));
        g_assert_nonnull(strstr(error_get_pretty(err), "given up"));
        error_free(err);
        after = set_file_bytes(&file);
        g_assert_cmpmem(before->data, before->len, after->data, after->len);
    }
    set_file_teardown(&file);
}

static void test_read_only(void)
{
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    open_error = EROFS;
    expect_unchanged(&file, few, true, "cannot be changed: Could not open");
    open_error = 0;
    set_file_teardown(&file);
}

static void test_no_index(void)
{
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    memset(file.f.img->bytes->data + file.f.at.superblock, 0,
           IMAGE_SUPERBLOCK);
    set_file_put(&file, file.f.img->bytes);
    set_file_reopen(&file);
    expect_unchanged(&file, few, true, "saved without fixed-ram");
    set_file_teardown(&file);
}

/* Another file has the name, though the snapshot is still open. */
static void test_renamed(void)
{
    g_autofree char *away = NULL;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    away = g_strconcat(file.path, ".away", NULL);
    g_assert_cmpint(rename(file.path, away), ==, 0);
    set_file_put(&file, file.f.img->bytes);
    expect_unchanged(&file, few, true, "the name of another file now");
    unlink(away);
    set_file_teardown(&file);
}

/* A saver has written another snapshot since. */
static void test_other_snapshot(void)
{
    SetFile file;
    Fixture *f = &file.f;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    f->img->bytes->data[f->at.superblock + 16] ^= 1;
    f->img->bytes->data[f->at.index + 16] ^= 1;
    image_seal(f->img, &f->at);
    set_file_put(&file, f->img->bytes);
    expect_unchanged(&file, few, true, "another snapshot was written");

    memset(f->img->bytes->data + f->at.superblock, 0, IMAGE_SUPERBLOCK);
    set_file_put(&file, f->img->bytes);
    expect_unchanged(&file, few, true, "another snapshot was written");
    set_file_teardown(&file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/set-write/usual", test_usual);
    g_test_add_func("/fixed-ram/set-write/one-page", test_one_page);
    g_test_add_func("/fixed-ram/set-write/outside", test_outside);
    g_test_add_func("/fixed-ram/set-write/twice", test_twice);
    g_test_add_func("/fixed-ram/set-write/all-of-ram", test_all_of_ram);
    g_test_add_func("/fixed-ram/set-write/only-zeros", test_only_zeros);
    g_test_add_func("/fixed-ram/set-write/result", test_result);
    g_test_add_func("/fixed-ram/set-write/replace", test_replace);
    g_test_add_func("/fixed-ram/set-write/drop", test_drop);
    g_test_add_func("/fixed-ram/set-write/damaged-set", test_damaged_set);
    g_test_add_func("/fixed-ram/set-write/without-checksums",
                    test_without_checksums);
    g_test_add_func("/fixed-ram/set-write/unknown-section",
                    test_unknown_section);
    g_test_add_func("/fixed-ram/set-write/nothing", test_nothing);
    g_test_add_func("/fixed-ram/set-write/damaged-page", test_damaged_page);
    g_test_add_func("/fixed-ram/set-write/given-up", test_given_up);
    g_test_add_func("/fixed-ram/set-write/read-only", test_read_only);
    g_test_add_func("/fixed-ram/set-write/no-index", test_no_index);
    g_test_add_func("/fixed-ram/set-write/renamed", test_renamed);
    g_test_add_func("/fixed-ram/set-write/other-snapshot",
                    test_other_snapshot);
    return g_test_run();
}
