/*
 * fixed-ram: unit tests of the bulk save
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "bulk-rig.h"

static void test_save(const void *opaque)
{
    uint64_t before;
    BulkRig f;

    if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque) | MARKED)) {
        return;
    }
    before = bulk_rig_count_populated(&f);
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    g_assert_cmpuint(bulk_rig_count_populated(&f), ==, before);
    bulk_rig_check_progress(&f);
    bulk_rig_check_file(&f);
    bulk_rig_teardown(&f);
}

/* Long runs of zeros are holes, and the file has its final length. */
static void test_space(const void *opaque)
{
    uint64_t data = 0;
    struct stat st;
    BulkRig f;

    if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque))) {
        return;
    }
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        data += bitmap_count_one(f.blocks[kind].data,
                                 bulk_lengths[kind] / PAGE);
    }
    fsync(f.config.fd);
    g_assert_cmpint(fstat(f.fd, &st), ==, 0);
    g_assert_cmpuint(st.st_size, ==,
                     f.blocks[FULL].pages_offset + bulk_lengths[FULL]);
    /* At worst every seventh page is a gap; the rest is metadata on disk. */
    g_assert_cmpuint(st.st_blocks * 512, <, data * PAGE * 8 / 7 + 256 * KiB);
    bulk_rig_teardown(&f);
}

/* The pages of the file do not stay in the page cache. */
static void test_manners(const void *opaque)
{
    BulkRig f;
    const FixedRamBulkBlock *b = &f.blocks[FULL];
    unsigned char vec[(5 * MiB + 3 * PAGE) / PAGE];
    size_t cached = 0;
    struct statfs fs;
    void *map;

    if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque))) {
        return;
    }
    g_assert_cmpint(fstatfs(f.fd, &fs), ==, 0);
    if (fs.f_type == TMPFS_MAGIC) {
        g_test_skip("a tmpfs is a page cache");
        bulk_rig_teardown(&f);
        return;
    }
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    fsync(f.fd);
    map = mmap(NULL, bulk_lengths[FULL], PROT_READ, MAP_SHARED, f.fd,
               b->pages_offset);
    g_assert(map != MAP_FAILED);
    g_assert_cmpint(mincore(map, bulk_lengths[FULL], vec), ==, 0);
    for (size_t i = 0; i < ARRAY_SIZE(vec); i++) {
        cached += vec[i] & 1;
    }
    munmap(map, bulk_lengths[FULL]);
    /* The kernel may keep some pages that are in use. */
    g_assert_cmpuint(cached, <, ARRAY_SIZE(vec) / 2);
    bulk_rig_teardown(&f);
}

/* Each page is either saved completely or as it was before. */
static void check_stopped(const BulkRig *f)
{
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        const FixedRamBulkBlock *b = &f->blocks[kind];

        for (size_t page = 0; page < bulk_lengths[kind] / PAGE; page++) {
            if (test_bit(page, b->todo)) {
                g_assert_true(test_bit(page, f->wanted[kind]));
                g_assert_false(test_bit(page, b->data));
                bulk_rig_check_unwritten(f, b->pages_offset + page * PAGE,
                          b->pages_offset + (page + 1) * PAGE);
            }
        }
    }
}

static void wait_for_bytes(BulkRig *f, uint64_t bytes)
{
    FixedRamBulkProgress p = { };

    while (p.bytes < bytes && !fixed_ram_bulk_wait(f->bulk, 0)) {
        fixed_ram_bulk_progress(f->bulk, &p);
    }
}

/* A bulk save that is stopped at any time leaves the rest to another one. */
static void test_stop(const void *opaque)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (int i = 0; i < 6; i++) {
        BulkRig f;

        if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque) | MARKED)) {
            return;
        }
        bulk_rig_start(&f, i ? 200 * MiB : 1);
        wait_for_bytes(&f, i ? g_rand_int_range(rand, 0, 16 * MiB) : 0);
        g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
        /* At one byte a second the last block cannot be saved. */
        g_assert_true(i || f.blocks[FULL].todo[0]);
        check_stopped(&f);
        fixed_ram_bulk_free(f.bulk);
        bulk_rig_start(&f, 0);
        bulk_rig_wait(&f);
        g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
        bulk_rig_check_file(&f);
        bulk_rig_teardown(&f);
    }
}

/*
 * A bulk save that is freed ends at once.  At one byte a second it would take
 * months, so the last block cannot be complete then.
 */
static void test_abandon(const void *opaque)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);

    for (int i = 0; i < 6; i++) {
        BulkRig f;

        if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque))) {
            return;
        }
        bulk_rig_start(&f, i % 2 ? 1 : 0);
        g_usleep(g_rand_int_range(rand, 0, 20000));
        fixed_ram_bulk_free(g_steal_pointer(&f.bulk));
        if (i % 2) {
            g_assert_false(bitmap_empty(f.blocks[FULL].todo,
                                        bulk_lengths[FULL] / PAGE));
        }
        bulk_rig_teardown(&f);
    }
}

/* The limit is kept, and a limit that is lifted has no effect any more. */
static void test_bandwidth(const void *opaque)
{
    int64_t begun = get_clock();
    FixedRamBulkProgress p;
    BulkRig f;

    if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque))) {
        return;
    }
    begun = get_clock();
    bulk_rig_start(&f, 32 * MiB);
    bulk_rig_wait(&f);
    fixed_ram_bulk_progress(f.bulk, &p);
    g_assert_cmpint(get_clock() - begun, >=,
                    p.bytes * NANOSECONDS_PER_SECOND / (32 * MiB) / 2);
    fixed_ram_bulk_free(f.bulk);

    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        bitmap_copy(f.blocks[kind].todo, f.wanted[kind],
                    bulk_lengths[kind] / PAGE);
    }
    bulk_rig_start(&f, 1);
    g_assert_false(fixed_ram_bulk_wait(f.bulk, 100));
    qatomic_set(&f.bandwidth, 0);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    bulk_rig_check_progress(&f);
    bulk_rig_teardown(&f);
}

/* The file may not grow beyond @end.  Returns the old limit. */
static struct rlimit limit_file(uint64_t end)
{
    struct rlimit old, limit;

    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &old), ==, 0);
    limit = old;
    limit.rlim_cur = end;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    return old;
}

/* Save with space on disk for @pages pages of a block. */
static void save_with_room(BulkRig *f, BulkKind kind, size_t pages,
                           const char *where)
{
    uint64_t end = f->blocks[kind].pages_offset + pages * PAGE;
    Error *err = NULL;
    struct rlimit old;

    g_assert_cmpint(ftruncate(f->fd, 100 * MiB), ==, 0);
    old = limit_file(end);
    bulk_rig_start(f, 0);
    bulk_rig_wait(f);
    g_assert_false(fixed_ram_bulk_finish(f->bulk, &err));
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
    g_assert_nonnull(strstr(error_get_pretty(err), NAME));
    g_assert_nonnull(strstr(error_get_pretty(err), where));
    g_assert_nonnull(strstr(error_get_pretty(err), ": cannot write"));
    error_free(err);
}

/* One write is cut short in its middle, and the following ones fail. */
static void test_full(const void *opaque)
{
    BulkWay way = GPOINTER_TO_INT(opaque);
    const size_t room = 261;
    uint8_t buf[PAGE];
    BulkRig f;

    if (!bulk_rig_setup(&f, way)) {
        return;
    }
    /* Of writes that are under way together any one may fail first. */
    save_with_room(&f, EIGHTH, room,
                   way & SINGLE && (way & PLAIN || !(way & DIRECT))
                   ? "block 'eighth' offset 0x105000: " : "block '");
    if (way & SINGLE) {
        /* The file has everything up to the limit. */
        uint64_t last = f.blocks[EIGHTH].pages_offset + (room - 1) * PAGE;

        g_assert_cmpint(pread(f.fd, buf, PAGE, last), ==, PAGE);
        g_assert_cmpmem(buf, PAGE,
                        f.blocks[EIGHTH].mem.host + (room - 1) * PAGE, PAGE);
    }
    bulk_rig_teardown(&f);
}

/* Only the last block has not enough space. */
static void test_nearly_full(const void *opaque)
{
    BulkRig f;

    if (bulk_rig_setup(&f, GPOINTER_TO_INT(opaque))) {
        save_with_room(&f, FULL, bulk_lengths[FULL] / PAGE - 2,
                       "block 'full' offset 0x501000: ");
        bulk_rig_teardown(&f);
    }
}

/* The file cannot be extended. */
static void test_too_long(void)
{
    Error *err = NULL;
    struct rlimit old;
    BulkRig f;

    bulk_rig_setup(&f, 0);
    old = limit_file(10 * MiB);
    g_assert_null(fixed_ram_bulk_start(&f.config, f.blocks, NKINDS, &err));
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &old), ==, 0);
    g_assert_nonnull(strstr(error_get_pretty(err), NAME));
    g_assert_nonnull(strstr(error_get_pretty(err), "cannot extend"));
    error_free(err);
    bulk_rig_teardown(&f);
}

/* No write succeeds: the descriptor is for reading. */
static void test_no_write(const void *opaque)
{
    Error *err = NULL;
    BulkRig f;

    if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque) | SINGLE)) {
        return;
    }
    g_assert_cmpint(ftruncate(f.fd, 100 * MiB), ==, 0);
    close(f.config.fd);
    f.config.fd = open(f.path, O_RDONLY);
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_false(fixed_ram_bulk_finish(f.bulk, &err));
    g_assert_nonnull(strstr(error_get_pretty(err),
                            "block 'eighth' offset 0x0: cannot write"));
    error_free(err);
    bulk_rig_teardown(&f);
}

/* Direct writes to such places are refused.  A tmpfs takes them all. */
static bool setup_misaligned(BulkRig *f, BulkWay way)
{
    struct statfs fs;

    if (!bulk_rig_setup(f, way)) {
        return false;
    }
    g_assert_cmpint(fstatfs(f->fd, &fs), ==, 0);
    if (fs.f_type == TMPFS_MAGIC) {
        g_test_skip("a tmpfs needs no alignment");
        bulk_rig_teardown(f);
        return false;
    }
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        f->blocks[kind].pages_offset += 8;
    }
    return true;
}

/* The file system refuses direct writes: they are buffered. */
static void test_refused(const void *opaque)
{
    BulkRig f;

    if (!setup_misaligned(&f, GPOINTER_TO_INT(opaque) | DIRECT | MARKED)) {
        return;
    }
    f.config.buffered_fd = open(f.path, O_WRONLY);
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    bulk_rig_check_progress(&f);
    bulk_rig_check_file(&f);
    bulk_rig_teardown(&f);
}

/* A user has asked for direct writes. */
static void test_refused_wanted(const void *opaque)
{
    Error *err = NULL;
    BulkRig f;

    if (!setup_misaligned(&f, GPOINTER_TO_INT(opaque) | DIRECT)) {
        return;
    }
    bulk_rig_start(&f, 0);
    bulk_rig_wait(&f);
    g_assert_false(fixed_ram_bulk_finish(f.bulk, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), ": cannot write"));
    error_free(err);
    bulk_rig_teardown(&f);
}

static void test_nothing(void)
{
    BulkRig f;

    bulk_rig_setup(&f, 0);
    f.bulk = fixed_ram_bulk_start(&f.config, NULL, 0, &error_abort);
    bulk_rig_wait(&f);
    g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
    bulk_rig_teardown(&f);
}

typedef struct Scribbler {
    QemuThread thread;
    const FixedRamBulkBlock *block;
    bool quit;
} Scribbler;

/*
 * The kernel writes to the memory, through the file.  It is always the same
 * page, so that the page changes while a saver reads it.
 */
static void *scribble(void *opaque)
{
    Scribbler *s = opaque;
    uint8_t buf[PAGE];

    for (unsigned i = 0; !qatomic_read(&s->quit); i++) {
        memset(buf, i % 3 ? i : 0, PAGE);
        g_assert_cmpint(pwrite(s->block->mem.fd, buf, PAGE, 0), ==, PAGE);
    }
    return NULL;
}

/* A device writes to the memory: checksums are those of the file. */
static void test_written_to(const void *opaque)
{
    for (int i = 0; i < 10; i++) {
        BulkRig f;
        Scribbler s = { .block = &f.blocks[SPARSE] };

        if (!bulk_rig_setup(&f, GPOINTER_TO_INT(opaque))) {
            return;
        }
        qemu_thread_create(&s.thread, "scribbler", scribble, &s,
                           QEMU_THREAD_JOINABLE);
        bulk_rig_start(&f, 0);
        bulk_rig_wait(&f);
        g_assert_true(fixed_ram_bulk_finish(f.bulk, &error_abort));
        qatomic_set(&s.quit, true);
        qemu_thread_join(&s.thread);
        if (f.blocks[SPARSE].sums) {
            bulk_rig_check_sums(&f, SPARSE);
        }
        bulk_rig_teardown(&f);
    }
}

static void add(const char *name, GTestDataFunc func, bool single_too)
{
    static const char *const ways[] = { "buffered", "direct" };

    for (BulkWay way = 0; way < MARKED; way++) {
        g_autofree char *path = g_strdup_printf(
            "/fixed-ram/bulk/%s/%s%s%s", name, ways[way & DIRECT],
            way & PLAIN ? "/plain" : "", way & SINGLE ? "/single" : "");

        if (single_too || !(way & SINGLE)) {
            g_test_add_data_func(path, GINT_TO_POINTER(way), func);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("save", test_save, true);
    add("space", test_space, false);
    add("manners", test_manners, false);
    add("stop", test_stop, false);
    add("abandon", test_abandon, false);
    add("bandwidth", test_bandwidth, false);
    add("full", test_full, true);
    add("nearly-full", test_nearly_full, false);
    add("no-write", test_no_write, false);
    add("written-to", test_written_to, false);
    g_test_add_data_func("/fixed-ram/bulk/refused", GINT_TO_POINTER(0),
                         test_refused);
    g_test_add_data_func("/fixed-ram/bulk/refused/plain",
                         GINT_TO_POINTER(PLAIN), test_refused);
    g_test_add_data_func("/fixed-ram/bulk/refused/wanted", GINT_TO_POINTER(0),
                         test_refused_wanted);
    g_test_add_func("/fixed-ram/bulk/too-long", test_too_long);
    g_test_add_func("/fixed-ram/bulk/nothing", test_nothing);
    return g_test_run();
}
