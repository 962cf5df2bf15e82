/*
 * fixed-ram: unit tests of appending to a snapshot that is cut off anywhere
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/syscall.h>
#include "qapi/error.h"
#include "set-file.h"

#define END     { TOUCHES_END }

/* A disk writes a sector as a whole, and sectors in any order. */
#define SECTOR  512

static const Touch old_set[] = { { 0, 60, 30 }, { 1, 0, 16 }, END };
static const Touch new_set[] = { { 0, 11, 3 }, { 1, 4, 2 }, { 0, 1, 1 }, END };

/*
 * What the code under test does to the file
 */

typedef struct Op {
    enum { WRITE, SYNC, TRUNCATE, PUNCH } what;
    uint64_t offset;            /* or the new size */
    uint64_t length;
    uint8_t *bytes;             /* of a write */
} Op;

static bool recording;
static GArray *ops;             /* of Op */

static void record(Op op)
{
    if (recording) {
        g_array_append_val(ops, op);
    }
}

/* The next four take the place of the C library's in this program. */
ssize_t pwrite(int fd, const void *buf, size_t length, off_t offset)
{
    record((Op) {
        .what = WRITE, .offset = offset, .length = length,
        .bytes = recording ? g_memdup2(buf, length) : NULL,
    });
    return syscall(SYS_pwrite64, fd, buf, length, offset);
}

int fdatasync(int fd)
{
    record((Op) { .what = SYNC });
    return syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    record((Op) { .what = TRUNCATE, .offset = size });
    return syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    g_assert_cmpint(mode, ==, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    record((Op) { .what = PUNCH, .offset = offset, .length = length });
    return syscall(SYS_fallocate, fd, mode, offset, length);
}

static void clear_op(void *op)
{
    g_free(((Op *)op)->bytes);
}

static void start_recording(void)
{
    ops = g_array_new(false, false, sizeof(Op));
    g_array_set_clear_func(ops, clear_op);
    recording = true;
}

static const Op *op_at(size_t i)
{
    return &g_array_index(ops, Op, i);
}

/*
 * What a failure leaves of it
 */

static void resize(GByteArray *disk, uint64_t size)
{
    guint from = disk->len;

    g_byte_array_set_size(disk, size);
    if (size > from) {
        memset(disk->data + from, 0, size - from);
    }
}

/* Bytes from @from to @to of a write. */
static void apply_part(GByteArray *disk, const Op *op, uint64_t from,
                       uint64_t to)
{
    if (from < to) {
        resize(disk, MAX(disk->len, op->offset + to));
        memcpy(disk->data + op->offset + from, op->bytes + from, to - from);
    }
}

static void apply(GByteArray *disk, const Op *op)
{
    switch (op->what) {
    case WRITE:
        apply_part(disk, op, 0, op->length);
        break;
    case TRUNCATE:
        resize(disk, op->offset);
        break;
    case PUNCH:
        g_assert_cmpuint(op->offset + op->length, <=, disk->len);
        memset(disk->data + op->offset, 0, op->length);
        break;
    case SYNC:
        break;
    }
}

/* The disk after the operations before number @end. */
static GByteArray *disk_after(const GByteArray *before, size_t end)
{
    GByteArray *disk = g_byte_array_new();

    g_byte_array_append(disk, before->data, before->len);
    for (size_t i = 0; i < end; i++) {
        apply(disk, op_at(i));
    }
    return disk;
}

/* The number of the first operation after the last sync before @end. */
static size_t unsynced_from(size_t end)
{
    while (end && op_at(end - 1)->what != SYNC) {
        end--;
    }
    return end;
}

/* An append to @file, which held a set before or not. */
typedef struct Case {
    SetFile file;
    GByteArray *before;
    const Touch *old;           /* NULL: no set */
    const Touch *new;
    const char *old_path;       /* of a delta's layer; NULL: no delta */
    const char *new_path;
    unsigned seen_old, seen_new;
} Case;

static bool is_old(const Case *c, GByteArray *disk)
{
    return set_file_holds(&c->file, disk, c->old, true) &&
           (!c->old_path || set_file_names(&c->file, disk, c->old_path));
}

static bool is_new(const Case *c, GByteArray *disk)
{
    return set_file_holds(&c->file, disk, c->new, true) &&
           (!c->new_path || set_file_names(&c->file, disk, c->new_path));
}

static void expect_old_or_new(Case *c, GByteArray *disk, size_t op)
{
    if (is_old(c, disk)) {
        c->seen_old++;
    } else if (is_new(c, disk)) {
        c->seen_new++;
    } else {
        g_test_message("neither old nor new, at operation %zu", op);
        g_test_fail();
    }
}

/* The process ends between two operations, or in the middle of one. */
static void kill_at_each(Case *c)
{
    for (size_t i = 0; i <= ops->len; i++) {
        g_autoptr(GByteArray) disk = disk_after(c->before, i);
        const Op *op = op_at(i);

        expect_old_or_new(c, disk, i);
        for (uint64_t at = SECTOR; i < ops->len && op->what == WRITE &&
             at < op->length; at += SECTOR) {
            apply_part(disk, op, at - SECTOR, at);
            expect_old_or_new(c, disk, i);
        }
    }
}

/* Only every second sector of a write, or the others, has reached the disk. */
static void lose_sectors(Case *c, size_t i)
{
    const Op *op = op_at(i);

    for (unsigned odd = 0; odd <= 1 && op->what == WRITE; odd++) {
        g_autoptr(GByteArray) disk = disk_after(c->before, i);

        for (uint64_t at = odd * SECTOR; at < op->length; at += 2 * SECTOR) {
            apply_part(disk, op, at, MIN(at + SECTOR, op->length));
        }
        expect_old_or_new(c, disk, i);
    }
}

/* The power fails: what was not synced is there, all of it or any part. */
static void power_off_at_each(Case *c)
{
    for (size_t end = 1; end <= ops->len; end++) {
        size_t from = unsynced_from(end);

        for (size_t i = from; i < end; i++) {
            g_autoptr(GByteArray) only = disk_after(c->before, from);
            g_autoptr(GByteArray) without = disk_after(c->before, from);

            apply(only, op_at(i));
            expect_old_or_new(c, only, i);
            for (size_t j = from; j < end; j++) {
                if (j != i) {
                    apply(without, op_at(j));
                }
            }
            expect_old_or_new(c, without, i);
        }
        lose_sectors(c, end - 1);
    }
}

static void set_up(Case *c, unsigned rounds)
{
    if (c->old_path) {
        set_file_setup_delta(&c->file, c->old_path);
    } else {
        set_file_setup(&c->file, &(ImageIndexOptions) { });
    }
    /* Older sets have left their space behind. */
    for (unsigned i = 0; c->old && i < rounds; i++) {
        g_assert_true(set_file_write(&c->file, c->old, true, &error_abort));
        set_file_reopen(&c->file);
    }
}

static void change(Case *c)
{
    bool ok;

    if (c->new_path) {
        ok = set_file_move(&c->file, c->new_path, &error_abort);
    } else if (c->new) {
        ok = set_file_write(&c->file, c->new, true, &error_abort);
    } else {
        ok = fixed_ram_working_set_drop(c->file.s, &error_abort);
    }
    g_assert_true(ok);
}

static void cut_case(Case *c, unsigned rounds)
{
    g_autoptr(GByteArray) before = NULL, after = NULL, now = NULL;

    set_up(c, rounds);
    c->before = before = set_file_bytes(&c->file);
    start_recording();
    change(c);
    recording = false;
    after = disk_after(before, ops->len);
    now = set_file_bytes(&c->file);
    g_assert_true(is_new(c, now));
    g_assert_true(is_new(c, after));
    kill_at_each(c);
    power_off_at_each(c);
    g_assert_cmpuint(c->seen_old, >, 0);
    g_assert_cmpuint(c->seen_new, >, 0);
    g_array_unref(ops);
    set_file_teardown(&c->file);
}

/* @old, @new: sets, or NULL for none */
static void cut_everywhere(const Touch *old, const Touch *new, unsigned rounds)
{
    cut_case(&(Case) { .old = old, .new = new }, rounds);
}

static void test_first(void)
{
    if (!without_sums()) {
        cut_everywhere(NULL, new_set, 0);
    }
}

/* The second one goes to the file's end, the third one where the first was. */
static void test_replace(void)
{
    for (unsigned rounds = 1; rounds <= 4 && !without_sums(); rounds++) {
        cut_everywhere(old_set, new_set, rounds);
    }
}

static void test_larger(void)
{
    for (unsigned rounds = 1; rounds <= 2 && !without_sums(); rounds++) {
        cut_everywhere(new_set, old_set, rounds);
    }
}

static void test_drop(void)
{
    for (unsigned rounds = 1; rounds <= 2 && !without_sums(); rounds++) {
        cut_everywhere(old_set, NULL, rounds);
    }
}

/* The set of the delta stays as it is, wherever the new index finds space. */
static void test_layers(void)
{
    static const char *const paths[] = { "b", "/another/folder/base.snap" };

    for (size_t i = 0; i < ARRAY_SIZE(paths) && !without_sums(); i++) {
        for (unsigned rounds = 0; rounds <= 3; rounds++) {
            const Touch *set = rounds ? old_set : NULL;

            cut_case(&(Case) {
                         .old = set, .new = set,
                         .old_path = "base.snap", .new_path = paths[i],
                     }, rounds);
        }
    }
}

/* The superblock changes in one sector, after everything else is on disk. */
static void test_one_sector(void)
{
    SetFile file;
    unsigned syncs = 0, writes = 0;

    if (without_sums()) {
        return;
    }
    set_file_setup(&file, &(ImageIndexOptions) { });
    start_recording();
    g_assert_true(set_file_write(&file, new_set, true, &error_abort));
    recording = false;
    for (size_t i = 0; i < ops->len; i++) {
        const Op *op = op_at(i);

        syncs += op->what == SYNC;
        if (op->what == WRITE && op->offset < file.f.at.stream_end) {
            g_assert_cmpuint(op->offset, ==, file.f.at.superblock);
            g_assert_cmpuint(op->length, <=, SECTOR);
            g_assert_cmpuint(syncs, ==, 1);
            g_assert_cmpint(op_at(i - 1)->what, ==, SYNC);
            g_assert_cmpint(op_at(i + 1)->what, ==, SYNC);
            writes++;
        }
    }
    g_assert_cmpuint(writes, ==, 1);
    g_assert_cmpuint(syncs, ==, 2);
    g_array_unref(ops);
    set_file_teardown(&file);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/append-cut/first", test_first);
    g_test_add_func("/fixed-ram/append-cut/replace", test_replace);
    g_test_add_func("/fixed-ram/append-cut/larger", test_larger);
    g_test_add_func("/fixed-ram/append-cut/drop", test_drop);
    g_test_add_func("/fixed-ram/append-cut/layers", test_layers);
    g_test_add_func("/fixed-ram/append-cut/one-sector", test_one_sector);
    return g_test_run();
}
