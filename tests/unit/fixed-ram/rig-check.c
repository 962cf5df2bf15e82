/*
 * fixed-ram: a load without a guest: what it does, and threads that touch pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "migration/fixed-ram/engine/uffd.h"
#include "rig.h"

/* --- looking at it --- */

FixedRamBlock *rig_block(Rig *rig, unsigned i)
{
    return fixed_ram_map_block(rig->map, i);
}

uint64_t rig_data_page(const FixedRamBlock *block, uint64_t n)
{
    uint64_t pages = block->length / RIG_PAGE;
    uint64_t page = find_first_bit(block->data, pages);

    while (n--) {
        page = find_next_bit(block->data, pages, page + 1);
    }
    g_assert_cmpuint(page, <, pages);
    return page;
}

unsigned rig_notified(Rig *rig)
{
    QEMU_LOCK_GUARD(&rig->lock);
    return rig->notified;
}

void rig_wait_notified(Rig *rig, unsigned n)
{
    QEMU_LOCK_GUARD(&rig->lock);
    while (rig->notified <= n) {
        qemu_cond_wait(&rig->cond, &rig->lock);
    }
}

void rig_wait_begun(Rig *rig, unsigned n)
{
    while (qatomic_read(&rig->begins) < n) {
        g_thread_yield();
    }
}

FixedRamLoadState rig_wait_either(Rig *rig, FixedRamLoadState a,
                                  FixedRamLoadState b)
{
    while (true) {
        unsigned seen = rig_notified(rig);
        FixedRamLoadState state = fixed_ram_load_state(rig->load);

        if (state == a || state == b) {
            return state;
        }
        rig_wait_notified(rig, seen);
    }
}

void rig_wait(Rig *rig, FixedRamLoadState state)
{
    rig_wait_either(rig, state, state);
}

static bool page_is_right(Rig *rig, const FixedRamBlock *block, uint64_t page,
                          bool *zero)
{
    const uint8_t *mem = block->host + page * RIG_PAGE;
    uint64_t at = block->pages_offset + page * RIG_PAGE;

    *zero = buffer_is_zero(mem, RIG_PAGE);
    return test_bit(page, block->data)
           ? !memcmp(mem, rig->disk.bytes + at, RIG_PAGE) : *zero;
}

void rig_check_page(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    bool zero;

    if (!page_is_right(rig, block, page, &zero)) {
        g_error("block %s page %" PRIu64 " is wrong%s (data bit %d)",
                block->name, page, zero ? ", all zeros" : "",
                test_bit(page, block->data));
    }
}

void rig_check_all(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
            rig_check_page(rig, block, page);
        }
    }
}

/* May a page without data be read, because of what lies around it? */
static bool read_along(const FixedRamBlock *block, uint64_t page)
{
    uint64_t pages = block->length / RIG_PAGE;
    uint64_t before = find_last_bit(block->data, page);
    uint64_t after = find_next_bit(block->data, pages, page);

    return before < page && after < pages && after - before - 1 <= RIG_GAP;
}

void rig_check_reads(Rig *rig, bool once)
{
    uint64_t all = 0, counted = 0;

    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
            uint64_t at = block->pages_offset + page * RIG_PAGE;
            unsigned times = qatomic_read(&rig->disk.times[at / RIG_PAGE]);

            if (test_bit(page, block->data)) {
                g_assert_cmpuint(times, >=, 1);
            } else if (times) {
                g_assert_true(read_along(block, page));
            }
            g_assert_true(times <= 1 || !once);
            counted += times;
        }
    }
    for (uint64_t i = 0; i < rig->disk.size / RIG_PAGE; i++) {
        all += qatomic_read(&rig->disk.times[i]);
    }
    g_assert_cmpuint(all, ==, counted);
}

void rig_check_complete(Rig *rig)
{
    const FixedRamLoadStats *stats = fixed_ram_load_stats(rig->load);

    g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                    FIXED_RAM_LOAD_COMPLETE);
    g_assert_null(fixed_ram_load_error(rig->load));
    g_assert_cmpuint(fixed_ram_map_left(rig->map), ==, 0);
    rig_check_all(rig);
    /* Each unit was placed once: else these are more. */
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes) +
                     qatomic_read(&stats->loader_bytes), ==,
                     rig->map->wanted);
    if (rig->o.on_demand) {
        /* A thread that runs in that memory must not see half of a page. */
        g_assert_cmpuint(qatomic_read(&rig->disk.straight), ==, 0);
    }
}

void rig_check_waits(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);
        FixedRamRun run;

        for (uint64_t unit = 0; unit < block->units; unit++) {
            uint64_t pos = unit * block->unit;
            unsigned placed = fixed_ram_block_next_data(
                block, pos, pos + block->unit, 0, &run);
            unsigned begun = qatomic_read(&rig->begun[i][unit]);
            unsigned ended = qatomic_read(&rig->ended[i][unit]);

            g_assert_cmpuint(ended, >=, placed);
            if (placed) {
                g_assert_cmpuint(ended, <=, placed + begun);
            } else {
                /* A zero page may also come with its neighbours. */
                g_assert_cmpuint(ended, >=, begun);
            }
        }
    }
}

unsigned rig_reads(Rig *rig, const FixedRamBlock *block, uint64_t page,
                   uint64_t pages)
{
    uint64_t first = block->pages_offset / RIG_PAGE + page;
    unsigned reads = 0;

    for (uint64_t i = first; i < first + pages; i++) {
        reads += qatomic_read(&rig->disk.starts[i]);
    }
    return reads;
}

bool rig_can_move(const RigOptions *o)
{
    FixedRamUffd uffd;
    bool can_move;

    if (o->no_move || o->shared || !fixed_ram_uffd_open(&uffd, NULL)) {
        return false;
    }
    can_move = uffd.can_move;
    fixed_ram_uffd_close(&uffd);
    return can_move && (!o->unit || o->unit == RIG_PAGE) &&
           qemu_real_host_page_size() == RIG_PAGE;
}

bool rig_whole(Rig *rig, unsigned extent)
{
    return test_bit(extent, rig_block(rig, 0)->whole);
}

/* --- touching it --- */

static void touch_page(Toucher *t, const FixedRamBlock *block, uint64_t page)
{
    bool zero;

    if (t->may_fail && !page_is_right(t->rig, block, page, &zero)) {
        /* Zeros in place of data: the load was marked failed before that. */
        g_assert_true(zero);
        g_assert_cmpint(fixed_ram_load_state(t->rig->load), ==,
                        FIXED_RAM_LOAD_FAILED);
    } else {
        rig_check_page(t->rig, block, page);
    }
}

static void touch_all(Toucher *t)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(t->seed);
    uint64_t first[RIG_BLOCKS + 1] = { };
    g_autofree uint32_t *order = NULL;

    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        first[i + 1] = first[i] + rig_block(t->rig, i)->length / RIG_PAGE;
    }
    order = g_new(uint32_t, first[RIG_BLOCKS]);
    for (uint32_t i = 0; i < first[RIG_BLOCKS]; i++) {
        uint32_t j = g_rand_int_range(rand, 0, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < first[RIG_BLOCKS]; i++) {
        unsigned block = order[i] < first[1] ? 0 : order[i] < first[2] ? 1 : 2;

        touch_page(t, rig_block(t->rig, block), order[i] - first[block]);
    }
}

static void *toucher_thread(void *opaque)
{
    Toucher *t = opaque;

    if (t->block) {
        touch_page(t, t->block, t->page);
    } else {
        touch_all(t);
    }
    qatomic_set(&t->done, true);
    return NULL;
}

void rig_touch(Rig *rig, Toucher *t, FixedRamBlock *block, uint64_t page)
{
    t->rig = rig;
    t->block = block;
    t->page = page;
    qatomic_set(&t->done, false);
    qemu_thread_create(&t->thread, "touch", toucher_thread, t,
                       QEMU_THREAD_JOINABLE);
}

void rig_join(Toucher *t)
{
    qemu_thread_join(&t->thread);
    g_assert_true(qatomic_read(&t->done));
}

/* --- a race --- */

#define RACE_TOUCHERS   4

void rig_race(Rig *rig, unsigned rounds)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    Toucher t[RACE_TOUCHERS] = { };

    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    rig_start(rig);
    for (unsigned i = 0; i < RACE_TOUCHERS; i++) {
        t[i].seed = i;
        rig_touch(rig, &t[i], NULL, 0);
    }
    for (unsigned i = 0; i < rounds && fixed_ram_map_left(rig->map); i++) {
        disk_hang(&rig->disk);
        g_usleep(g_rand_int_range(rand, 0, 200));
        rig_pause(rig);
        if (g_rand_boolean(rand)) {
            disk_hold(&rig->disk, false);
        }
        rig_recover(rig, g_rand_int_range(rand, 1, 4));
    }
    rig_pause(rig);
    rig_recover(rig, DISK_GOOD);
    for (unsigned i = 0; i < RACE_TOUCHERS; i++) {
        rig_join(&t[i]);
    }
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_leave(rig);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}
