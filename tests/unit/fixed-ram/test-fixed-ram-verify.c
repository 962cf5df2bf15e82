/*
 * fixed-ram: unit tests of loads that are verified
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/sums.h"
#include "migration/fixed-ram/engine/uffd.h"
#include "migration/fixed-ram/engine/verify.h"
#include "migration/fixed-ram/engine/verify-all.h"
#include "rig.h"

#define CLUSTER_PAGES   (FIXED_RAM_CLUSTER_BYTES / RIG_PAGE)

static Rig *rig_new_verified(const RigOptions *o)
{
    RigOptions verified = *o;

    if (!fixed_ram_sums_built()) {
        g_test_skip("built without libxxhash");
        return NULL;
    }
    verified.sums = true;
    return rig_new(&verified);
}

static uint8_t *disk_page(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    return rig->disk.bytes + block->pages_offset + page * RIG_PAGE;
}

/* The error says where, and that it is about content. */
static void check_error(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    g_autofree char *where = g_strdup_printf(
        "block '%s' offset 0x%" PRIx64 " ", block->name,
        (uint64_t)(ROUND_DOWN(page, CLUSTER_PAGES) * RIG_PAGE));
    Error *err = fixed_ram_load_error(rig->load);

    g_assert_nonnull(err);
    if (!strstr(error_get_pretty(err), where) ||
        !strstr(error_get_pretty(err), "expected 0x")) {
        g_error("'%s' is not in: %s", where, error_get_pretty(err));
    }
    error_free(err);
}

/* It must not get to the end. */
static void wait_bad(Rig *rig, FixedRamLoadState state)
{
    g_assert_cmpint(rig_wait_either(rig, state, FIXED_RAM_LOAD_COMPLETE), ==,
                    state);
}

static void test_right(gconstpointer opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Rig *rig;

    o.loaders = 3;
    rig = rig_new_verified(&o);
    if (!rig) {
        return;
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_all(rig);
    rig_check_reads(rig, true);
    rig_free(rig);
}

/* By faults alone; each thread finds what was saved. */
static void test_faults(gconstpointer opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Toucher touchers[3] = { };
    Rig *rig;

    if (!o.on_demand) {
        return;
    }
    rig = rig_new_verified(&o);
    if (!rig) {
        return;
    }
    rig_start(rig);
    for (size_t i = 0; i < ARRAY_SIZE(touchers); i++) {
        touchers[i].seed = i + 1;
        rig_touch(rig, &touchers[i], NULL, 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(touchers); i++) {
        rig_join(&touchers[i]);
    }
    rig_check_all(rig);
    rig_free(rig);
}

static void flip(Rig *rig, const FixedRamBlock *block, uint64_t page,
                 uint64_t seed)
{
    disk_page(rig, block, page)[seed * 2654435761u % RIG_PAGE] ^=
        1 << seed % 8;
}

/* A thread waits for the page, or not; it is mended, and the load goes on. */
static void try_on_demand(const RigOptions *o, unsigned i, uint64_t page)
{
    Rig *rig = rig_new_verified(o);
    FixedRamBlock *block = rig_block(rig, i);
    Toucher toucher = { };

    flip(rig, block, page, page);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    if (page % 2) {
        rig_touch(rig, &toucher, block, page);
    }
    wait_bad(rig, FIXED_RAM_LOAD_STALLED);
    check_error(rig, block, page);
    g_assert_false(fixed_ram_map_received(block, page * RIG_PAGE /
                                                 block->unit));
    flip(rig, block, page, page);
    rig_recover(rig, DISK_GOOD);
    if (page % 2) {
        rig_join(&toucher);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_all(rig);
    rig_free(rig);
}

static void try_eager(const RigOptions *o, unsigned i, uint64_t page)
{
    Rig *rig = rig_new_verified(o);
    FixedRamBlock *block = rig_block(rig, i);

    flip(rig, block, page, page);
    rig_start(rig);
    wait_bad(rig, FIXED_RAM_LOAD_FAILED);
    check_error(rig, block, page);
    rig_free(rig);
}

/* A page of each cluster; of some in unusual kinds of memory. */
static void test_flips(gconstpointer opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    bool usual = !o.shared && !o.no_move && !o.stubborn && !o.unit;
    uint64_t step = CLUSTER_PAGES * (usual ? 1 : 11);
    Rig *rig;

    if (o.file) {
        /* That is a copy, which was made when it was opened. */
        return;
    }
    o.loaders = 2;
    rig = rig_new_verified(&o);
    if (!rig) {
        return;
    }
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);
        uint64_t pages = block->length / RIG_PAGE;

        for (uint64_t first = 0; first < pages; first += step) {
            uint64_t end = MIN(first + CLUSTER_PAGES, pages);
            uint64_t page = find_next_bit(block->data, end,
                                          first + first / 7 % 16);

            if (page < end) {
                (o.on_demand ? try_on_demand : try_eager)(&o, i, page);
            }
        }
    }
    rig_free(rig);
}

/*
 * All of a cluster has come but one page: to verify that one, the others are
 * read once more.  A bad sector among them, where the file holds no page, is
 * nothing to fail for.
 */
static void test_partial(void)
{
    RigOptions o = { .on_demand = true, .loaders = 2 };
    const uint64_t hole = RIG_HOLED * RIG_HUGE + 8;
    Rig *rig = rig_new_verified(&o);
    FixedRamBlock *block;
    FixedRamClaim claim;

    if (!rig) {
        return;
    }
    block = rig_block(rig, 0);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    g_assert_true(fixed_ram_map_claim_around(
        block, (hole + 1) * RIG_PAGE / block->unit, 1, &claim));
    qatomic_set(&rig->disk.bad, block->pages_offset + hole * RIG_PAGE);
    rig_start(rig);
    while (fixed_ram_map_left(rig->map) > block->unit) {
        g_usleep(100);
    }
    rig_pause(rig);
    fixed_ram_map_return(&claim);
    rig_recover(rig, DISK_GOOD);
    g_assert_cmpint(rig_wait_either(rig, FIXED_RAM_LOAD_STALLED,
                                    FIXED_RAM_LOAD_COMPLETE), ==,
                    FIXED_RAM_LOAD_COMPLETE);
    rig_check_all(rig);
    rig_free(rig);
}

/* What the file holds of a page whose bit is clear is not verified. */
static void test_stale(gconstpointer opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Rig *rig;

    o.loaders = 2;
    rig = rig_new_verified(&o);
    if (!rig) {
        return;
    }
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
            if (!test_bit(page, block->data)) {
                memset(disk_page(rig, block, page), 0x5a, RIG_PAGE);
            }
        }
    }
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_all(rig);
    rig_free(rig);
}

/* A bit that is clear, and should not be, or the reverse. */
static void test_bitmap(gconstpointer opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    Rig *rig;

    for (int clear = 0; clear <= 1; clear++) {
        FixedRamBlock *block;

        o.loaders = 1;
        rig = rig_new_verified(&o);
        if (!rig) {
            return;
        }
        block = rig_block(rig, 0);
        /* In the extent where every eighth page is zero. */
        change_bit(RIG_HOLED * RIG_HUGE + (clear ? 9 : 8), block->data);
        rig_start(rig);
        wait_bad(rig, FIXED_RAM_LOAD_FAILED);
        check_error(rig, block, RIG_HOLED * RIG_HUGE + 8);
        rig_free(rig);
    }
}

/* The table lies in the same file. */
static void test_table(gconstpointer opaque)
{
    RigOptions o = *(const RigOptions *)opaque;
    uint64_t at;
    Rig *rig;
    Error *err;

    o.loaders = 2;
    rig = rig_new_verified(&o);
    if (!rig) {
        return;
    }
    at = rig_block(rig, RIG_BLOCKS - 1)->pages_offset +
         rig_block(rig, RIG_BLOCKS - 1)->length;
    rig->disk.bytes[at + 11] ^= 4;
    rig_start(rig);
    wait_bad(rig, FIXED_RAM_LOAD_FAILED);
    err = fixed_ram_load_error(rig->load);
    g_assert_nonnull(strstr(error_get_pretty(err), "checksums"));
    error_free(err);
    rig_free(rig);
}

/*
 * A page is lost, and with it what cannot be verified without it; nothing else
 * is, though the disk still cannot read that page.
 */
static void test_lost(void)
{
    RigOptions o = { .on_demand = true, .loaders = 2 };
    Rig *rig = rig_new_verified(&o);
    FixedRamBlock *block;
    FixedRamUffd uffd;
    bool can;

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_uffd_open(&uffd, &error_abort));
    can = uffd.can_poison;
    fixed_ram_uffd_close(&uffd);
    if (!can) {
        g_test_skip("this kernel cannot poison pages");
        rig_free(rig);
        return;
    }
    block = rig_block(rig, 0);
    /* In the extent that is full. */
    qatomic_set(&rig->disk.bad, block->pages_offset + 37 * RIG_PAGE);
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    rig_wait(rig, FIXED_RAM_LOAD_STALLED);
    g_assert_true(fixed_ram_load_give_up(rig->load, block->name,
                                         37 * RIG_PAGE, &error_abort));
    g_assert_cmpuint(fixed_ram_load_stats(rig->load)->lost_bytes, ==,
                     FIXED_RAM_CLUSTER_BYTES);
    rig_recover(rig, DISK_GOOD);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
        if (page / CLUSTER_PAGES != 37 / CLUSTER_PAGES) {
            rig_check_page(rig, block, page);
        }
    }
    rig_free(rig);
}

/* Units larger than a cluster, smaller ones, the short one at the end. */
static void test_widen(void)
{
    FixedRamBlock block = { .length = 5 * FIXED_RAM_CLUSTER_BYTES + RIG_PAGE };
    FixedRamRun run = { .offset = 3 * RIG_PAGE, .length = RIG_PAGE };

    run = fixed_ram_verify_widen(&block, &run);
    g_assert_cmpuint(run.offset, ==, 0);
    g_assert_cmpuint(run.length, ==, FIXED_RAM_CLUSTER_BYTES);
    run = fixed_ram_verify_widen(&block, &run);
    g_assert_cmpuint(run.length, ==, FIXED_RAM_CLUSTER_BYTES);
    run.length += RIG_PAGE;
    run = fixed_ram_verify_widen(&block, &run);
    g_assert_cmpuint(run.length, ==, 2 * FIXED_RAM_CLUSTER_BYTES);
    run = (FixedRamRun) { 5 * FIXED_RAM_CLUSTER_BYTES, RIG_PAGE };
    run = fixed_ram_verify_widen(&block, &run);
    g_assert_cmpuint(run.offset, ==, 5 * FIXED_RAM_CLUSTER_BYTES);
    g_assert_cmpuint(run.length, ==, RIG_PAGE);
}

/* A cluster is verified if it is claimed and if the file holds some of it. */
static void test_wants(void)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);
    FixedRamClaim claim;

    block->page_size = RIG_PAGE;
    block->unit = 4 * FIXED_RAM_CLUSTER_BYTES;
    block->length = 2 * block->unit;
    block->data = bitmap_new(block->length / RIG_PAGE);
    set_bit(CLUSTER_PAGES - 1, block->data);
    set_bit(2 * CLUSTER_PAGES, block->data);
    set_bit(4 * CLUSTER_PAGES, block->data);
    fixed_ram_map_add(map, block);

    g_assert_true(fixed_ram_map_claim_around(block, 0, 1, &claim));
    for (uint64_t i = 0; i < 8; i++) {
        g_assert_cmpint(fixed_ram_verify_wants(&claim,
                                               i * FIXED_RAM_CLUSTER_BYTES),
                        ==, i == 0 || i == 2);
    }
}

/*
 * The pass before a load
 */

/* Returns what is wrong, or NULL; the caller frees it. */
static Error *verify_all(Rig *rig, int64_t good)
{
    g_autoptr(FixedRamSource) source = rig_source(rig, good);
    Error *err = NULL;

    g_assert_cmpint(fixed_ram_verify_all(rig->map, source, rig->sums, 3, &err),
                    ==, !err);
    return err;
}

static void assert_all_right(Rig *rig)
{
    g_assert_null(verify_all(rig, DISK_GOOD));
}

static void assert_names(Error *err, const FixedRamBlock *block, uint64_t page)
{
    g_autofree char *where = g_strdup_printf(
        "block '%s' offset 0x%" PRIx64 " ", block->name,
        (uint64_t)(ROUND_DOWN(page, CLUSTER_PAGES) * RIG_PAGE));

    g_assert_nonnull(err);
    g_assert_nonnull(strstr(error_get_pretty(err), where));
    error_free(err);
}

/* Any page may be spoiled; what the file holds of zero pages does not count. */
static void test_all(void)
{
    RigOptions o = { .more = 4, .sums = true };
    Rig *rig = rig_new_verified(&o);

    if (!rig) {
        return;
    }
    assert_all_right(rig);
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);
        uint64_t pages = block->length / RIG_PAGE;

        for (uint64_t page = i; page < pages; page += 61) {
            flip(rig, block, page, page);
            if (test_bit(page, block->data)) {
                assert_names(verify_all(rig, DISK_GOOD), block, page);
            } else {
                assert_all_right(rig);
            }
            flip(rig, block, page, page);
        }
    }
    rig_free(rig);
}

static void test_all_unreadable(void)
{
    RigOptions o = { .sums = true };
    Rig *rig = rig_new_verified(&o);
    Error *err;

    if (!rig) {
        return;
    }
    err = verify_all(rig, 1);
    g_assert_nonnull(err);
    error_free(err);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_add_kinds("verify/right", test_right);
    rig_add_kinds("verify/faults", test_faults);
    rig_add_kinds("verify/flips", test_flips);
    rig_add_kinds("verify/stale", test_stale);
    rig_add_kinds("verify/bitmap", test_bitmap);
    rig_add_kinds("verify/table", test_table);
    g_test_add_func("/fixed-ram/verify/partial", test_partial);
    g_test_add_func("/fixed-ram/verify/lost", test_lost);
    g_test_add_func("/fixed-ram/verify/widen", test_widen);
    g_test_add_func("/fixed-ram/verify/wants", test_wants);
    g_test_add_func("/fixed-ram/verify/all", test_all);
    g_test_add_func("/fixed-ram/verify/all-unreadable", test_all_unreadable);
    return g_test_run();
}
