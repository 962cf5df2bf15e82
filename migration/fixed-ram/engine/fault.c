/*
 * fixed-ram: fault threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "claim.h"
#include "fault.h"
#include "place.h"
#include "read.h"
#include "remake.h"
#include "replay.h"
#include "state.h"
#include "../trace.h"
#include "worker.h"

/* The guest is likely to touch the neighbours of a page next. */
#define FAULT_BYTES     (64 * KiB)

/* How many units of @block make up @bytes: a power of two, 64 at most. */
static unsigned units_in(const FixedRamBlock *block, uint64_t bytes)
{
    return MIN(MAX(bytes / block->unit, 1), BITS_PER_LONG);
}

/*
 * How many units to read for one fault: one while the order of first touch is
 * recorded, more if a thread has claimed a
 * neighbouring group before, since the access is then probably sequential.
 */
static unsigned fault_span(const FixedRamLoad *load,
                           const FixedRamBlock *block, uint64_t unit)
{
    unsigned few = units_in(block, FAULT_BYTES);
    unsigned many = units_in(block, FIXED_RAM_FAULT_BYTES_MAX);
    uint64_t first = ROUND_DOWN(unit, few);

    if (fixed_ram_record_active(&load->record)) {
        return 1;
    }
    return fixed_ram_map_was_claimed(block, first - 1) ||
           fixed_ram_map_was_claimed(block, first + few) ? many : few;
}

static void place_zero(FixedRamLoad *load, const FixedRamBlock *block,
                       uint64_t offset)
{
    int ret = fixed_ram_uffd_zero(&load->uffd, block->host + offset,
                                  block->unit);

    trace_fixed_ram_place_zero(block->name, offset, ret);
    if (ret < 0 && ret != -ENOENT) {
        Error *err = NULL;

        error_setg_errno(&err, -ret, "block '%s' offset 0x%" PRIx64
                         ": could not place a page of zeros", block->name,
                         offset);
        fixed_ram_load_stall(load, err);
    }
}

/*
 * In memory that holds little data the zero pages do not come with the data of
 * their cluster, see fixed_ram_claim_next_padded().  A guest that touches one
 * is likely to touch its neighbours.  They take no memory.
 */
static void place_zeros_beside(FixedRamLoad *load, const FixedRamBlock *block,
                               uint64_t unit)
{
    unsigned few = units_in(block, FAULT_BYTES);
    uint64_t i = ROUND_DOWN(unit, few);
    uint64_t end = MIN(i + few, block->units);

    if (few == 1 || fixed_ram_record_active(&load->record) ||
        fixed_ram_map_may_be_huge(block, unit)) {
        return;
    }
    for (; i < end; i++) {
        uint64_t first = i;

        while (i < end && fixed_ram_map_is_zero(block, i)) {
            i++;
        }
        fixed_ram_uffd_zero_range(&load->uffd,
                                  block->host + first * block->unit,
                                  (i - first) * block->unit, block->unit);
    }
}

/* Read the worker's claim, before anything that loaders want to read. */
static bool read_claim(FixedRamWorker *w)
{
    FixedRamLoad *load = w->load;
    bool ok;

    fixed_ram_pace_fault(&load->pace);
    ok = fixed_ram_read_claim(w, false);
    fixed_ram_pace_fault_end(&load->pace, fixed_ram_map_left(load->map));
    return ok;
}

/* The page is in place for which the fault thread has read. */
static void add_latency(FixedRamWorker *w)
{
    fixed_ram_latency_add(&w->load->stats.latency,
                          get_clock() - w->fault_begun);
}

/* Read and place the worker's claim; a thread waits for unit @unit of it. */
static void load_claim(FixedRamWorker *w, uint64_t unit)
{
    FixedRamBlock *block = w->claim.block;
    FixedRamRun all, first = {
        .offset = unit * block->unit, .length = block->unit,
    };

    fixed_ram_claim_next(&w->claim, 0, UINT64_MAX, &all);
    if (read_claim(w) && fixed_ram_place_run(w, &first)) {
        add_latency(w);
        fixed_ram_place_rest(w);
        fixed_ram_place_wake(w, block, &all);
    }
}

/*
 * At full effort: have one huge page back the extent in which @unit lies, if
 * that is still possible.  The guest will fault there again and again, and one
 * large read costs the disk less than many small ones.
 */
static bool load_extent(FixedRamWorker *w, FixedRamBlock *block, uint64_t unit)
{
    FixedRamLoad *load = w->load;
    FixedRamRun extent;
    bool move;

    if (fixed_ram_record_active(&load->record) ||
        fixed_ram_pace_effort(&load->pace) != FIXED_RAM_EFFORT_FULL ||
        !fixed_ram_worker_grow(w) ||
        !fixed_ram_map_claim_intact(block, unit, &w->claim)) {
        return false;
    }
    extent = fixed_ram_claim_extent(&w->claim);
    move = fixed_ram_place_can_move(w);
    if (read_claim(w)) {
        if (move) {
            fixed_ram_place_move(w);
        } else {
            fixed_ram_place_rest(w);
        }
        add_latency(w);
        fixed_ram_place_wake(w, block, &extent);
    }
    return true;
}

/* Have loaders go on where the guest is. */
static void ask_loaders(FixedRamLoad *load, const FixedRamBlock *block,
                        uint64_t unit)
{
    size_t extent = fixed_ram_map_extent(block, unit);

    set_bit_atomic(extent, load->asked);
    qatomic_set(&load->last_asked, extent + 1);
}

/*
 * A thread waits for the unit at @offset.  If another worker has claimed it,
 * that one will place it, which wakes all threads that wait.
 */
static void serve_missing(FixedRamWorker *w, FixedRamBlock *block,
                          uint64_t offset)
{
    FixedRamLoad *load = w->load;
    uint64_t unit = offset / block->unit;

    if (qatomic_read(&load->stalled)) {
        /*
         * The threads that wait for a failed load get zeros and go on.  Those
         * of a stalled load wait: fixed_ram_load_recover() makes them fault
         * again.
         */
        if (fixed_ram_load_state(load) == FIXED_RAM_LOAD_FAILED) {
            place_zero(load, block, offset);
        }
    } else if (load_extent(w, block, unit)) {
        /* If another worker has claimed the unit, that one will place it. */
    } else if (fixed_ram_map_claim_around(block, unit,
                                          fault_span(load, block, unit),
                                          &w->claim)) {
        ask_loaders(load, block, unit);
        load_claim(w, unit);
    } else {
        fixed_ram_pace_hurry(&load->pace, (uintptr_t)block->host + offset);
    }
}

/*
 * A thread waits for a unit that has been received: it was zero from the start,
 * or the guest has discarded it since, or a loader has taken it out for a
 * moment and will wake all threads that wait.
 */
static void serve_received(FixedRamLoad *load, const FixedRamBlock *block,
                           uint64_t unit)
{
    WITH_QEMU_LOCK_GUARD(&load->remake_lock) {
        if (!fixed_ram_remake_under_way(load, block, unit)) {
            place_zero(load, block, unit * block->unit);
        }
    }
    /* Only where no huge page may come, so nothing is remade there. */
    place_zeros_beside(load, block, unit);
}

static void begin_wait(FixedRamLoad *load, uintptr_t addr, uint32_t thread_id)
{
    const FixedRamLoadOps *ops = load->config.ops;

    if (ops->wait_begin) {
        ops->wait_begin(load->config.opaque, addr, thread_id);
        smp_mb();               /* pairs with fixed_ram_map_receive() */
    }
}

/*
 * The wait may have begun after the unit was received.  Then the worker that
 * placed it did not see the wait, and this is the call that ends it.
 */
static void end_wait(FixedRamLoad *load, uintptr_t addr, bool received)
{
    const FixedRamLoadOps *ops = load->config.ops;

    if (ops->wait_end && received) {
        ops->wait_end(load->config.opaque, addr);
    }
}

static void serve_fault(FixedRamWorker *w, const FixedRamFault *fault)
{
    FixedRamLoad *load = w->load;
    FixedRamBlock *block = fixed_ram_map_find(load->map, fault->addr);
    uint64_t offset, unit;
    uintptr_t addr;

    if (!block) {
        return;
    }
    w->fault_begun = get_clock();
    unit = (fault->addr - (uintptr_t)block->host) / block->unit;
    offset = unit * block->unit;
    addr = (uintptr_t)block->host + offset;
    trace_fixed_ram_fault(block->name, offset, fault->thread_id);
    qatomic_inc(&load->stats.faults);
    fixed_ram_record_touch(&load->record, block, unit);
    fixed_ram_replay_fault(load, block, unit, w->fault_begun);
    begin_wait(load, addr, fault->thread_id);
    if (fixed_ram_map_received(block, unit)) {
        serve_received(load, block, unit);
        add_latency(w);
    } else {
        serve_missing(w, block, offset);
    }
    end_wait(load, addr, fixed_ram_map_received(block, unit));
}

void *fixed_ram_fault_thread(void *opaque)
{
    FixedRamWorker *w = opaque;
    FixedRamLoad *load = w->load;
    FixedRamFault fault;

    rcu_register_thread();      /* wait_begin() may look at RAM blocks */
    while (true) {
        int ret = fixed_ram_uffd_read(&load->uffd, &fault);

        if (ret < 0) {
            Error *err = NULL;

            error_setg_errno(&err, -ret, "could not read page faults");
            qatomic_set(&w->ended, true);
            fixed_ram_load_stall(load, err);
            break;
        }
        if (fixed_ram_uffd_answer(&load->uffd, &fault)) {
            break;
        }
        serve_fault(w, &fault);
    }
    rcu_unregister_thread();
    return NULL;
}
