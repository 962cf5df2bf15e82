/*
 * fixed-ram: unit tests of giving up pages that can never be had
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/internal.h"
#include "rig.h"

#define RAM "pc.ram"

/* Kernels before 6.6 cannot do this. */
static Rig *rig_new_for_loss(const RigOptions *o)
{
    Rig *rig = rig_new(o);
    FixedRamUffd uffd;
    bool can;

    if (!rig) {
        return NULL;
    }
    g_assert_true(fixed_ram_uffd_open(&uffd, &error_abort));
    can = uffd.can_poison;
    fixed_ram_uffd_close(&uffd);
    if (!can) {
        g_test_skip("this kernel cannot poison pages");
        rig_free(rig);
        return NULL;
    }
    return rig;
}

static void break_page(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    qatomic_set(&rig->disk.bad, block->pages_offset + page * RIG_PAGE);
}

/* May the kernel read it for us? */
static bool is_poisoned(const FixedRamBlock *block, uint64_t page)
{
    int fds[2];
    ssize_t n;
    bool deadly;

    g_assert_cmpint(pipe(fds), ==, 0);
    n = write(fds[1], block->host + page * RIG_PAGE, 1);
    deadly = n < 0 && errno == EFAULT;
    g_assert_true(deadly || n == 1);
    close(fds[0]);
    close(fds[1]);
    return deadly;
}

static void give_up_refused(Rig *rig, const char *name, uint64_t offset,
                            const char *why)
{
    Error *err = NULL;

    g_assert_false(fixed_ram_load_give_up(rig->load, name, offset, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), why));
    error_free(err);
}

/* The error names the page that is bad, not all that was read with it. */
static void check_error(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    g_autofree char *where = g_strdup_printf(
        "block '%s' offset 0x%" PRIx64 " length 0x1000: ", block->name,
        (uint64_t)(page * RIG_PAGE));
    Error *err = fixed_ram_load_error(rig->load);

    g_assert_nonnull(err);
    g_assert_nonnull(strstr(error_get_pretty(err), where));
    error_free(err);
}

/* All the rest comes, though the disk still cannot read that page. */
static void check_rest(Rig *rig, const FixedRamBlock *lost, uint64_t page)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);
        uint64_t pages = block->length / RIG_PAGE;

        for (uint64_t p = 0; p < pages; p++) {
            if (block != lost || p != page) {
                rig_check_page(rig, block, p);
            }
        }
    }
    g_assert_true(is_poisoned(lost, page));
}

static void test_give_up(const void *opaque)
{
    uint64_t page = GPOINTER_TO_SIZE(opaque);
    RigOptions o = { .on_demand = true, .loaders = 2 };
    Rig *rig = rig_new_for_loss(&o);
    FixedRamBlock *block;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(test_bit(page, block->data));
    break_page(rig, block, page);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    check_error(rig, block, page);

    /* Loaders may still be at others; this one has been given back. */
    while (!test_bit(page, block->pending)) {
        g_thread_yield();
    }
    g_assert_true(fixed_ram_load_give_up(rig->load, RAM, page * RIG_PAGE + 7,
                                         &error_abort));
    g_assert_cmpuint(fixed_ram_load_stats(rig->load)->lost_bytes, ==,
                     RIG_PAGE);
    give_up_refused(rig, RAM, page * RIG_PAGE, "has been loaded");
    g_assert_true(is_poisoned(block, page));

    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_rest(rig, block, page);
    rig_stop(rig);
    g_assert_true(is_poisoned(block, page));
    rig_free(rig);
}

/* The last page that is missing: then the load is complete. */
static void test_last(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new_for_loss(&o);
    FixedRamBlock *block;
    uint64_t page;

    if (!rig) {
        return;
    }
    block = rig_block(rig, RIG_BLOCKS - 1);
    page = find_last_bit(block->data, block->units);
    break_page(rig, block, page);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    while (!test_bit(page, block->pending)) {
        g_thread_yield();
    }
    for (uint64_t p = 0; p < block->units; p++) {
        if (!fixed_ram_map_received(block, p) && p != page) {
            fixed_ram_load_give_up(rig->load, block->name, p * RIG_PAGE,
                                   &error_abort);
        }
    }
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, RIG_PAGE);
    fixed_ram_load_give_up(rig->load, block->name, page * RIG_PAGE,
                           &error_abort);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_free(rig);
}

static void test_refused(void)
{
    RigOptions o = { .on_demand = true, .good_reads = DISK_BAD };
    Rig *rig = rig_new_for_loss(&o);
    FixedRamBlock *block;
    uint64_t zero;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    zero = find_first_zero_bit(block->data, block->units);
    give_up_refused(rig, "pc.rom", 0, "'pc.rom'");
    give_up_refused(rig, RAM, block->length, "there is no offset");
    give_up_refused(rig, RAM, zero * RIG_PAGE, "has been loaded");
    g_assert_cmpuint(fixed_ram_load_stats(rig->load)->lost_bytes, ==, 0);
    rig_free(rig);
}

/* A kernel that cannot: the page stays missing and can be loaded. */
static void test_old_kernel(void)
{
    RigOptions o = {
        .on_demand = true, .loaders = 1, .no_move = true,
        .good_reads = DISK_BAD,
    };
    Rig *rig = rig_new(&o);
    uint64_t page;

    if (!rig) {
        return;
    }
    page = rig_data_page(rig_block(rig, 0), 5);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    give_up_refused(rig, RAM, page * RIG_PAGE, "cannot give up");
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_free(rig);
}

/* It would be being read for ever. */
static void test_hanging(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new_for_loss(&o);
    FixedRamBlock *block;
    const uint64_t page = 3;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    disk_hang(&rig->disk);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);
    give_up_refused(rig, RAM, page * RIG_PAGE, "is being read");
    rig_pause(rig);
    g_assert_true(fixed_ram_load_give_up(rig->load, RAM, page * RIG_PAGE,
                                         &error_abort));
    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    check_rest(rig, block, page);
    rig_leave(rig);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/fixed-ram/lost/full", GSIZE_TO_POINTER(300),
                         test_give_up);
    g_test_add_data_func("/fixed-ram/lost/holed",
                         GSIZE_TO_POINTER(RIG_HUGE + 257), test_give_up);
    g_test_add_data_func("/fixed-ram/lost/sparse",
                         GSIZE_TO_POINTER(2 * RIG_HUGE + 241), test_give_up);
    g_test_add_func("/fixed-ram/lost/last", test_last);
    g_test_add_func("/fixed-ram/lost/hanging", test_hanging);
    g_test_add_func("/fixed-ram/lost/refused", test_refused);
    g_test_add_func("/fixed-ram/lost/old-kernel", test_old_kernel);
    return g_test_run();
}
