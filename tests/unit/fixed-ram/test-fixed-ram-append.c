/*
 * fixed-ram: unit tests of the space that appends to a snapshot use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/append.h"
#include "migration/fixed-ram/format/space.h"
#include "loader.h"
#include "set-file.h"

#define END     { TOUCHES_END }

static const ImageIndexOptions usual = { };

static const Touch large[] = { { 0, 0, 100 }, { 1, 0, 16 }, END };
static const Touch small[] = { { 0, 11, 3 }, { 1, 4, 2 }, END };

static unsigned fail_write;     /* this write fails, counted from 1; 0: none */
static unsigned fail_sync;
static unsigned writes, syncs;

/* The next two take the place of the C library's in this program. */
ssize_t pwrite(int fd, const void *buf, size_t length, off_t offset)
{
    if (++writes == fail_write) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, buf, length, offset);
}

int fdatasync(int fd)
{
    if (++syncs == fail_sync) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_fdatasync, fd);
}

static void write_set(SetFile *file, const Touch *touches)
{
    g_assert_true(set_file_write(file, touches, true, &error_abort));
    set_file_expect(file, touches, true);
}

/*
 * How large the file becomes
 */

/* Two large sets fit in this much, and less does not do. */
#define BOUND   (2 * MiB)

/* However often a set is written, the file does not grow without bound. */
static void test_repeated(void)
{
    uint64_t saved, allocated = 0;
    struct stat st;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    saved = set_file_size(&file);
    for (unsigned i = 0; i < 40; i++) {
        write_set(&file, i % 3 ? large : small);
        set_file_reopen(&file);
        g_assert_cmpuint(set_file_size(&file), <=, saved + BOUND);
        g_assert_cmpint(stat(file.path, &st), ==, 0);
        allocated = i == 8 ? st.st_blocks : allocated;
        g_assert_true(i <= 8 || st.st_blocks <= 2 * allocated);
    }
    g_assert_true(fixed_ram_working_set_drop(file.s, &error_abort));
    set_file_expect(&file, NULL, false);
    set_file_teardown(&file);
}

/* An old set at the file's end is cut off when the new one fits before it. */
static void test_shrinks(void)
{
    uint64_t largest = 0, last;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    for (unsigned i = 0; i < 2; i++) {
        write_set(&file, large);
        set_file_reopen(&file);
        largest = set_file_size(&file);
    }
    write_set(&file, small);
    last = set_file_size(&file);
    g_assert_cmpuint(last, <, largest);
    set_file_reopen(&file);
    g_assert_cmpuint(fixed_ram_space_end(&file.s->index->space), ==, last);
    set_file_teardown(&file);
}

/* What the old set took is given back to the file system. */
static void test_punched(void)
{
    g_autoptr(GByteArray) bytes = NULL;
    FixedRamIndexSet old;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    write_set(&file, large);
    set_file_reopen(&file);
    old = file.s->index->set;
    write_set(&file, small);
    bytes = set_file_bytes(&file);
    for (uint64_t i = 0; i < old.pack_length; i++) {
        g_assert_cmpuint(bytes->data[old.pack_offset + i], ==, 0);
    }
    set_file_teardown(&file);
}

#define FOREIGN_BYTES   (300 * KiB)

/* Another program adds bytes behind the snapshot; returns their offset. */
static uint64_t add_foreign_bytes(SetFile *file)
{
    g_autofree uint8_t *foreign = g_malloc(FOREIGN_BYTES);
    g_autoptr(GByteArray) bytes = set_file_bytes(file);
    uint64_t offset = bytes->len;

    memset(foreign, 0xaf, FOREIGN_BYTES);
    g_byte_array_append(bytes, foreign, FOREIGN_BYTES);
    set_file_put(file, bytes);
    set_file_reopen(file);
    return offset;
}

static void expect_foreign_bytes(const SetFile *file, uint64_t offset)
{
    g_autoptr(GByteArray) bytes = set_file_bytes(file);

    g_assert_cmpuint(bytes->len, >=, offset + FOREIGN_BYTES);
    for (uint64_t i = 0; i < FOREIGN_BYTES; i++) {
        g_assert_cmpuint(bytes->data[offset + i], ==, 0xaf);
    }
}

/* What follows the snapshot belongs to another program, and so does a gap. */
static void test_foreign_bytes(void)
{
    uint64_t first, second;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    first = add_foreign_bytes(&file);
    write_set(&file, large);
    set_file_reopen(&file);
    second = add_foreign_bytes(&file);
    for (unsigned i = 0; i < 8; i++) {
        write_set(&file, i % 2 ? small : large);
        set_file_reopen(&file);
        expect_foreign_bytes(&file, first);
        expect_foreign_bytes(&file, second);
    }
    set_file_teardown(&file);
}

/* A section of a later version may refer to parts that are not known here. */
static void test_unknown_section(void)
{
    g_autoptr(GByteArray) before = NULL, after = NULL;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &(ImageIndexOptions) { .extra = 1000 });
    write_set(&file, large);
    set_file_reopen(&file);
    before = set_file_bytes(&file);
    for (unsigned i = 0; i < 3; i++) {
        write_set(&file, small);
        set_file_reopen(&file);
    }
    after = set_file_bytes(&file);
    g_assert_cmpmem(after->data + file.f.at.stream_end,
                    before->len - file.f.at.stream_end,
                    before->data + file.f.at.stream_end,
                    before->len - file.f.at.stream_end);
    set_file_teardown(&file);
}

/* Is a section with these fields accepted, in a file of 1 MiB? */
static bool space_is_good(uint64_t offset, uint64_t length, uint32_t zero)
{
    g_autoptr(Image) img = image_new(&(ImageOptions) { });
    g_autoptr(FixedRamReader) r = fixed_ram_reader_new(&img->parent, 0, 64);
    FixedRamSuperblock sb = { .stream_end = 64 * KiB };
    FixedRamIndexSpace space;

    stq_le_p(img->bytes->data, offset);
    stq_le_p(img->bytes->data + 8, length);
    stl_le_p(img->bytes->data + 16, zero);
    stl_le_p(img->bytes->data + 20, 12345);
    img->parent.size = MiB;
    fixed_ram_space_read(r, &sb, &space);
    return !r->error;
}

static void test_space_fields(void)
{
    g_assert_true(space_is_good(64 * KiB, MiB - 64 * KiB, 0));
    g_assert_true(space_is_good(128 * KiB, 0, 0));
    g_assert_false(space_is_good(64 * KiB, MiB - 64 * KiB, 1));
    g_assert_false(space_is_good(64 * KiB - 1, 1, 0));
    g_assert_false(space_is_good(0, 0, 0));
    g_assert_false(space_is_good(64 * KiB, MiB - 64 * KiB + 1, 0));
    g_assert_false(space_is_good(-4096, 8192, 0));
}

/*
 * Beside loaders
 */

/* The parts that another process may be reading stay there. */
static void test_other_loader(void)
{
    g_autoptr(GByteArray) before = NULL, after = NULL;
    uint64_t largest;
    Loader loader;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    write_set(&file, large);
    set_file_reopen(&file);
    write_set(&file, large);
    set_file_reopen(&file);
    before = set_file_bytes(&file);
    loader = start_loader(file.path, START);
    for (unsigned i = 0; i < 3; i++) {
        write_set(&file, small);
        set_file_reopen(&file);
    }
    after = set_file_bytes(&file);
    g_assert_cmpuint(after->len, >, before->len);
    g_assert_cmpmem(after->data + file.f.at.stream_end,
                    before->len - file.f.at.stream_end,
                    before->data + file.f.at.stream_end,
                    before->len - file.f.at.stream_end);
    largest = after->len;
    end_loader(loader);
    /* Now it is given back. */
    write_set(&file, small);
    g_assert_cmpuint(set_file_size(&file), <, largest);
    set_file_teardown(&file);
}

/*
 * A process that has another index open than the file's goes on with it: the
 * set was replaced since, while this process was a loader for the appender.
 */
static void test_own_older_index(void)
{
    g_autoptr(FixedRamWorkingSet) set = NULL;
    g_autofree uint8_t *pack = NULL;
    FixedRamSnapshot *older;
    Loader loader;
    SetFile file;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    write_set(&file, large);
    set_file_reopen(&file);
    older = g_steal_pointer(&file.s);
    set_file_reopen(&file);
    loader = start_loader(file.path, START);
    write_set(&file, small);
    end_loader(loader);
    fixed_ram_snapshot_free(file.s);
    file.s = older;
    write_set(&file, small);
    set = fixed_ram_working_set_read(older->index, older->source,
                                     &error_abort);
    pack = g_malloc(set->pack_length);
    g_assert_true(fixed_ram_working_set_read_pack(
        set, older->source, 0, set->pack_length, pack, &error_abort));
    set_file_teardown(&file);
}

/*
 * What excludes an appender
 */

static bool write_once(SetFile *file, Error **errp)
{
    return set_file_write(file, small, true, errp);
}

static void test_two_appenders(void)
{
    FixedRamAppend *first;
    SetFile file;

    if (without_locks() || without_sums()) {
        return;
    }
    set_file_setup(&file, &usual);
    first = fixed_ram_append_begin(file.s, SECTION_WORKING_SET,
                                   &error_abort);
    set_file_expect_busy(&file, write_once);
    fixed_ram_append_end(first);
    write_set(&file, small);
    set_file_teardown(&file);
}

/*
 * Failures
 */

/* The old superblock is still on the disk: the old snapshot must be there. */
static void expect_old_below(const SetFile *file, const GByteArray *before,
                             GByteArray *now, const Touch *touches)
{
    uint64_t at = file->f.at.superblock;

    memcpy(now->data + at, before->data + at, IMAGE_SUPERBLOCK);
    g_assert_true(set_file_holds(file, now, touches, true));
}

/* Whichever write or flush fails, the file is the old one or the new one. */
static void fail_each(unsigned *which, unsigned *count, bool first)
{
    for (unsigned i = 1; ; i++) {
        g_autoptr(GByteArray) before = NULL, bytes = NULL;
        const Touch *touches = first ? NULL : large;
        Error *err = NULL;
        SetFile file;
        bool ok;

        set_file_setup(&file, &usual);
        if (!first) {
            write_set(&file, large);
            set_file_reopen(&file);
        }
        before = set_file_bytes(&file);
        *count = 0;
        *which = i;
        ok = set_file_write(&file, small, true, &err);
        *which = 0;
        bytes = set_file_bytes(&file);
        g_assert_cmpint(ok, ==, !err);
        g_assert_true(set_file_holds(&file, bytes, touches, true) ||
                      set_file_holds(&file, bytes, small, true));
        if (!ok) {
            expect_old_below(&file, before, bytes, touches);
        }
        error_free(err);
        set_file_teardown(&file);
        if (ok) {
            break;
        }
    }
}

static void test_failed_write(void)
{
    if (without_sums()) {
        return;
    }
    fail_each(&fail_write, &writes, true);
    fail_each(&fail_write, &writes, false);
}

static void test_failed_sync(void)
{
    if (without_sums()) {
        return;
    }
    fail_each(&fail_sync, &syncs, true);
    fail_each(&fail_sync, &syncs, false);
}

/* The first write or flush that fails leaves the file as long as it was. */
static void test_failure_costs_nothing(void)
{
    SetFile file;
    uint64_t before;

    if (without_sums()) {
        return;
    }
    for (unsigned i = 1; i <= 3; i++) {
        set_file_setup(&file, &usual);
        before = set_file_size(&file);
        writes = 0;
        fail_write = i;
        g_assert_false(set_file_write(&file, large, true, NULL));
        fail_write = 0;
        g_assert_cmpuint(set_file_size(&file), ==, before);
        set_file_expect(&file, NULL, false);
        set_file_teardown(&file);
    }
    set_file_setup(&file, &usual);
    before = set_file_size(&file);
    syncs = 0;
    fail_sync = 1;
    g_assert_false(set_file_write(&file, large, true, NULL));
    fail_sync = 0;
    g_assert_cmpuint(set_file_size(&file), ==, before);
    set_file_teardown(&file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/append/repeated", test_repeated);
    g_test_add_func("/fixed-ram/append/shrinks", test_shrinks);
    g_test_add_func("/fixed-ram/append/punched", test_punched);
    g_test_add_func("/fixed-ram/append/foreign-bytes", test_foreign_bytes);
    g_test_add_func("/fixed-ram/append/unknown-section",
                    test_unknown_section);
    g_test_add_func("/fixed-ram/append/space-fields", test_space_fields);
    g_test_add_func("/fixed-ram/append/other-loader", test_other_loader);
    g_test_add_func("/fixed-ram/append/own-older-index",
                    test_own_older_index);
    g_test_add_func("/fixed-ram/append/two-appenders", test_two_appenders);
    g_test_add_func("/fixed-ram/append/failed-write", test_failed_write);
    g_test_add_func("/fixed-ram/append/failed-sync", test_failed_sync);
    g_test_add_func("/fixed-ram/append/failure-costs-nothing",
                    test_failure_costs_nothing);
    return g_test_run();
}
