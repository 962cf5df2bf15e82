/*
 * fixed-ram: unit tests of the engine when reading or placing fails
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/internal.h"
#include "rig.h"

#define TOUCHERS 4

/*
 * What comes of placing a page, by whatever ioctl: an errno, or 0, then it is
 * left to the kernel.
 */
static int no_place;            /* atomic */
static unsigned not_placed;     /* how often it was that errno; atomic */
/* Threads that are about to get that errno wait meanwhile. */
static bool place_held;         /* atomic */

static bool is_place(unsigned long request)
{
    return request == UFFDIO_COPY || request == UFFDIO_ZEROPAGE ||
           request == UFFDIO_MOVE;
}

/* Takes the place of libc's. */
int ioctl(int fd, unsigned long request, ...)
{
    int err = is_place(request) ? qatomic_read(&no_place) : 0;
    va_list ap;
    void *arg;

    if (err) {
        qatomic_inc(&not_placed);
        while (qatomic_read(&place_held)) {
            g_usleep(100);
        }
        errno = err;
        return -1;
    }
    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    return syscall(SYS_ioctl, fd, request, arg);
}

static void set_no_place(int err)
{
    qatomic_set(&not_placed, 0);
    qatomic_set(&no_place, err);
}

static void wait_not_placed(unsigned n)
{
    while (qatomic_read(&not_placed) < n) {
        g_usleep(100);
    }
}

/* Names the block, the file, what was wrong. */
static void check_error(Rig *rig, const char *block)
{
    Error *err = fixed_ram_load_error(rig->load);
    g_autofree char *quoted = g_strdup_printf("'%s'", block);

    g_assert_nonnull(err);
    g_assert_nonnull(strstr(error_get_pretty(err), quoted));
    g_assert_nonnull(strstr(error_get_pretty(err), "'snapshot.img'"));
    g_assert_nonnull(strstr(error_get_pretty(err), "Input/output error"));
    g_assert_nonnull(strstr(error_get_pretty(err), "offset 0x"));
    error_free(err);
}

/* The threads that wait when the load fails go on. */
static void test_fail(void)
{
    RigOptions o = { .on_demand = true, .good_reads = DISK_BAD };
    Toucher t[TOUCHERS] = { };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    disk_hold(&rig->disk, true);
    rig_start(rig);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        t[i].may_fail = true;
        rig_touch(rig, &t[i], block, rig_data_page(block, 30 * i));
    }
    disk_wait_inside(&rig->disk, 2);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    disk_hold(&rig->disk, false);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    rig_wait(rig, FIXED_RAM_LOAD_FAILED);
    check_error(rig, "pc.ram");
    g_assert_false(fixed_ram_load_guest_runs(rig->load));
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_FAILED);
    rig_free(rig);
}

/* Touchers of all pages, loaders, and an error somewhere in the middle. */
static void test_fail_midway(void)
{
    /* Fewer than there are stretches of data in the sparse extent. */
    static const int64_t good[] = { 1, 2, 3, 5, 8, 13 };

    for (size_t n = 0; n < ARRAY_SIZE(good); n++) {
        RigOptions o = {
            .on_demand = true, .loaders = 2, .good_reads = good[n],
        };
        Toucher t[TOUCHERS] = { };
        Rig *rig = rig_new(&o);

        if (!rig) {
            return;
        }
        rig_start(rig);
        for (unsigned i = 0; i < TOUCHERS; i++) {
            t[i].may_fail = true;
            t[i].seed = i;
            rig_touch(rig, &t[i], NULL, 0);
        }
        for (unsigned i = 0; i < TOUCHERS; i++) {
            rig_join(&t[i]);
        }
        g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                        FIXED_RAM_LOAD_FAILED);
        rig_free(rig);
    }
}

static void test_fail_eager(void)
{
    RigOptions o = { .loaders = 3, .good_reads = 2 };
    Rig *rig = rig_new(&o);

    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_FAILED);
    check_error(rig, "pc.ram");
    g_assert_false(fixed_ram_load_guest_runs(rig->load));
    rig_free(rig);
}

/* After the guest has started an error lets it wait. */
static void test_stall(void)
{
    RigOptions o = { .on_demand = true, .good_reads = DISK_BAD };
    Rig *rig = rig_new(&o);
    Toucher t = { }, u = { };
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 2);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_touch(rig, &t, block, rig_data_page(block, 3));
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    check_error(rig, "vga.vram");
    rig_touch(rig, &u, rig_block(rig, 0), rig_data_page(rig_block(rig, 0), 9));
    while (qatomic_read(&rig->begins) < 2) {
        g_thread_yield();
    }
    g_assert_false(qatomic_read(&t.done));
    g_assert_false(qatomic_read(&u.done));
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);

    rig_recover(rig, DISK_GOOD);
    rig_join(&t);
    rig_join(&u);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    g_assert_null(fixed_ram_load_error(rig->load));
    rig_check_all(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* One source after the other fails; in the end every page has come once. */
static void test_stall_again(const void *opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Toucher t[TOUCHERS] = { };
    unsigned recovered = 0;
    Rig *rig;

    o.on_demand = true;
    o.good_reads = 3;
    rig = rig_new(&o);
    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        t[i].seed = i;
        rig_touch(rig, &t[i], NULL, 0);
    }
    while (rig_wait_either(rig, FIXED_RAM_LOAD_STALLED,
                           FIXED_RAM_LOAD_COMPLETE) ==
           FIXED_RAM_LOAD_STALLED) {
        recovered++;
        rig_recover(rig, recovered < 6 ? recovered : DISK_GOOD);
    }
    g_assert_cmpuint(recovered, >=, 6);
    for (unsigned i = 0; i < TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    rig_check_complete(rig);
    rig_check_reads(rig, false);
    rig_stop(rig);
    rig_check_waits(rig);
    rig_free(rig);
}

/* Reads that began before the recovery fail after it: no second stall. */
static void test_late_error(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1, .good_reads = DISK_BAD };
    Rig *rig = rig_new(&o);
    Toucher t = { };
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 2);
    disk_hold(&rig->disk, true);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_touch(rig, &t, block, rig_data_page(block, 0));
    disk_wait_inside(&rig->disk, 2);
    rig_pause(rig);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_STALLED);
    rig_recover(rig, DISK_GOOD);
    disk_hold(&rig->disk, false);
    g_assert_cmpint(rig_wait_either(rig, FIXED_RAM_LOAD_STALLED,
                                    FIXED_RAM_LOAD_COMPLETE), ==,
                    FIXED_RAM_LOAD_COMPLETE);
    rig_join(&t);
    rig_check_complete(rig);
    rig_free(rig);
}

/*
 * Reads that began before the stall succeed after it.  An administrator mends
 * the file meanwhile, so what they find must not be placed.
 */
static void test_late_read(void)
{
    RigOptions o = { .on_demand = true, .loaders = 2 };
    Rig *rig = rig_new(&o);
    g_autofree uint8_t *good = NULL;

    if (!rig) {
        return;
    }
    good = g_memdup2(rig->disk.bytes, rig->disk.size);
    disk_hold(&rig->disk, true);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);
    rig_pause(rig);
    memset(rig->disk.bytes, 0, rig->disk.size);
    disk_hold(&rig->disk, false);
    while (qatomic_load_acquire(&rig->load->reads)) {
        g_thread_yield();
    }
    memcpy(rig->disk.bytes, good, rig->disk.size);
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);
    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* The only page of the disk that cannot be read, in the first block. */
static void break_page(Rig *rig, uint64_t page)
{
    qatomic_set(&rig->disk.bad,
                rig_block(rig, 0)->pages_offset + page * RIG_PAGE);
}

/*
 * A loader comes upon a bad page: all that it has claimed, and no more, is
 * missing again, what it had read included.
 *
 * @opaque: an offset of a page that holds data, in pages from the start of
 *          the first block
 */
static void test_bad_page(const void *opaque)
{
    uint64_t page = GPOINTER_TO_SIZE(opaque), first;
    unsigned extent = page / RIG_HUGE;
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(test_bit(page, block->data));
    break_page(rig, page);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    check_error(rig, "pc.ram");
    g_assert_false(fixed_ram_map_received(block, page));
    g_assert_true(test_bit(page, block->pending));
    /*
     * From where on?  A sparse extent is taken word by word, unless the last
     * fault was a while ago: a load begins as if there had just been one.
     */
    first = ROUND_DOWN(page, BITS_PER_LONG);
    if ((block->huge && extent != RIG_SPARSE) ||
        find_next_bit(block->pending, block->units, 0) < first) {
        first = extent * block->extent_units;
    }
    for (uint64_t i = 0; i < block->units; i++) {
        bool data = test_bit(i, block->data);

        g_assert_cmpint(!!test_bit(i, block->pending), ==, data && i >= first);
        g_assert_cmpint(fixed_ram_map_received(block, i), ==,
                        !data || i < first);
    }
    qatomic_set(&rig->disk.bad, 0);
    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_check_reads(rig, false);
    rig_stop(rig);
    rig_check_waits(rig);
    rig_free(rig);
}

/* A fault finds a bad page beside its own; the thread gets its page. */
static void test_bad_neighbour(void)
{
    RigOptions o = { .on_demand = true };
    Rig *rig = rig_new(&o);
    Toucher t = { };

    if (!rig) {
        return;
    }
    break_page(rig, 7);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_touch(rig, &t, rig_block(rig, 0), 2);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    g_assert_false(qatomic_read(&t.done));
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);
    qatomic_set(&rig->disk.bad, 0);
    rig_recover(rig, DISK_GOOD);
    rig_join(&t);
    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_ACTIVE);
    rig_check_all(rig);
    rig_free(rig);
}

/*
 * Nothing can be placed
 */

typedef struct NoPlace {
    const char *name;
    int err;
    bool fault;                 /* a thread waits; else loaders are at work */
    bool shared;
} NoPlace;

static const NoPlace no_places[] = {
    { "no-place/memory/loader", ENOMEM },
    { "no-place/memory/fault", ENOMEM, .fault = true },
    { "no-place/memory/shared", ENOMEM, .fault = true, .shared = true },
    { "no-place/space/loader", ENOSPC, .shared = true },
    { "no-place/space/fault", ENOSPC, .fault = true, .shared = true },
    { "no-place/no-idea", EINVAL },
};

static void check_no_place(Rig *rig, int err)
{
    Error *told = fixed_ram_load_error(rig->load);

    g_assert_nonnull(told);
    g_assert_nonnull(strstr(error_get_pretty(told), "'pc.ram' offset 0x"));
    g_assert_nonnull(strstr(error_get_pretty(told), "could not place"));
    g_assert_nonnull(strstr(error_get_pretty(told), strerror(err)));
    error_free(told);
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, rig->map->wanted);
}

static void test_no_place(const void *opaque)
{
    const NoPlace *n = opaque;
    RigOptions o = {
        .on_demand = true, .loaders = !n->fault, .shared = n->shared,
    };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;
    Toucher t = { };

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    set_no_place(n->err);
    rig_start(rig);
    if (n->fault) {
        rig_touch(rig, &t, block, rig_data_page(block, 5));
    }
    /* As often as the load is recovered. */
    for (unsigned i = 0; i < 3; i++) {
        rig_wait(rig, FIXED_RAM_LOAD_STALLED);
        check_no_place(rig, n->err);
        g_assert_false(qatomic_read(&t.done));
        rig_recover(rig, DISK_GOOD);
    }
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    set_no_place(0);
    rig_recover(rig, DISK_GOOD);
    if (n->fault) {
        rig_join(&t);
        rig_check_all(rig);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* Not even zeros can be placed for a thread that touched a zero page. */
static void test_no_place_zero(void)
{
    RigOptions o = { .on_demand = true };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;
    Toucher t = { };

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    set_no_place(ENOMEM);
    rig_start(rig);
    /* The first zero page of the holed extent. */
    rig_touch(rig, &t, block, find_next_zero_bit(block->data, block->units,
                                                 RIG_HUGE));
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    check_no_place(rig, ENOMEM);
    g_assert_false(qatomic_read(&t.done));
    set_no_place(0);
    rig_recover(rig, DISK_GOOD);
    rig_join(&t);
    rig_free(rig);
}

/* Before the guest runs it fails; threads that wait go on soon. */
static void test_no_place_fail(void)
{
    RigOptions o = { .on_demand = true, .loaders = 2 };
    Toucher t = { .may_fail = true };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    set_no_place(ENOMEM);
    rig_start(rig);
    rig_touch(rig, &t, block, rig_data_page(block, 5));
    rig_wait(rig, FIXED_RAM_LOAD_FAILED);
    check_no_place(rig, ENOMEM);
    g_assert_false(fixed_ram_load_guest_runs(rig->load));
    g_assert_false(qatomic_read(&t.done));
    set_no_place(0);
    rig_join(&t);
    rig_free(rig);
}

/*
 * A page could not be placed, but that is told only after the recovery.  It
 * may stall the load once more; nothing is lost by that.
 */
static void test_late_no_place(const void *opaque)
{
    bool fault = opaque != NULL;
    /* What cannot be moved would be copied, so have it copied at once. */
    RigOptions o = { .on_demand = true, .loaders = !fault, .shared = true };
    Rig *rig = rig_new(&o);
    FixedRamBlock *block;
    Toucher t = { };

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    set_no_place(ENOMEM);
    qatomic_set(&place_held, true);
    rig_start(rig);
    if (fault) {
        rig_touch(rig, &t, block, rig_data_page(block, 5));
    }
    wait_not_placed(1);
    rig_pause(rig);
    rig_recover(rig, DISK_GOOD);
    set_no_place(0);
    qatomic_set(&place_held, false);
    if (rig_wait_either(rig, FIXED_RAM_LOAD_STALLED,
                        FIXED_RAM_LOAD_COMPLETE) == FIXED_RAM_LOAD_STALLED) {
        g_test_message("stalled again");
        rig_recover(rig, DISK_GOOD);
    }
    if (fault) {
        rig_join(&t);
        rig_check_all(rig);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* Stalled, with the loaders asleep. */
static void test_free_stalled(void)
{
    RigOptions o = { .on_demand = true, .loaders = 3, .good_reads = 4 };
    Rig *rig = rig_new(&o);

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/fail/first", test_fail);
    g_test_add_func("/fixed-ram/fail/midway", test_fail_midway);
    g_test_add_func("/fixed-ram/fail/eager", test_fail_eager);
    g_test_add_func("/fixed-ram/stall/once", test_stall);
    rig_add_kinds("stall/again", test_stall_again);
    g_test_add_func("/fixed-ram/stall/late-error", test_late_error);
    g_test_add_func("/fixed-ram/stall/late-read", test_late_read);
    g_test_add_data_func("/fixed-ram/stall/bad-page/full",
                         GSIZE_TO_POINTER(511), test_bad_page);
    g_test_add_data_func("/fixed-ram/stall/bad-page/holed",
                         GSIZE_TO_POINTER(RIG_HUGE + 257), test_bad_page);
    g_test_add_data_func("/fixed-ram/stall/bad-page/sparse",
                         GSIZE_TO_POINTER(2 * RIG_HUGE + 241), test_bad_page);
    g_test_add_func("/fixed-ram/stall/bad-neighbour", test_bad_neighbour);
    for (size_t i = 0; i < ARRAY_SIZE(no_places); i++) {
        g_autofree char *name = g_strdup_printf("/fixed-ram/stall/%s",
                                                no_places[i].name);

        g_test_add_data_func(name, &no_places[i], test_no_place);
    }
    g_test_add_func("/fixed-ram/stall/no-place/zero", test_no_place_zero);
    g_test_add_func("/fixed-ram/fail/no-place", test_no_place_fail);
    g_test_add_data_func("/fixed-ram/stall/late-no-place/loader", NULL,
                         test_late_no_place);
    g_test_add_data_func("/fixed-ram/stall/late-no-place/fault", "fault",
                         test_late_no_place);
    g_test_add_func("/fixed-ram/stall/free", test_free_stalled);
    return g_test_run();
}
