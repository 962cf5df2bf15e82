/*
 * fixed-ram: the engine's threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "place.h"
#include "../trace.h"

/* What a fault brings: its neighbours are likely to be next. */
#define FAULT_BYTES             (64 * KiB)

FixedRamWorker *fixed_ram_worker_new(FixedRamLoad *load, bool fault,
                                     size_t buf_size, Error **errp)
{
    FixedRamWorker *w = g_new0(FixedRamWorker, 1);

    w->load = load;
    w->fault = fault;
    qemu_mutex_init(&w->lock);
    if (!fixed_ram_buffer_map(&w->buf, buf_size, errp)) {
        fixed_ram_worker_free(w);
        return NULL;
    }
    return w;
}

void fixed_ram_worker_start(FixedRamWorker *w)
{
    qemu_thread_create(&w->thread, w->fault ? "fixed-ram/fault"
                                            : "fixed-ram/load",
                       w->fault ? fixed_ram_fault_thread
                                : fixed_ram_loader_thread, w,
                       QEMU_THREAD_JOINABLE);
    w->started = true;
}

void fixed_ram_worker_free(FixedRamWorker *w)
{
    fixed_ram_buffer_unmap(&w->buf);
    qemu_mutex_destroy(&w->lock);
    g_free(w);
}

static bool load_failed(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    return load->failed;
}

/* How many units of @block make up @bytes: a power of two, 64 at most. */
static unsigned units_in(const FixedRamBlock *block, uint64_t bytes)
{
    return MIN(MAX(bytes / block->unit, 1), BITS_PER_LONG);
}

/*
 * How many units to bring for a fault.  Whose neighbours were asked for before
 * is walking along.
 */
static unsigned fault_span(const FixedRamBlock *block, uint64_t unit)
{
    unsigned few = units_in(block, FAULT_BYTES);
    unsigned many = units_in(block, FIXED_RAM_FAULT_BYTES_MAX);
    uint64_t first = ROUND_DOWN(unit, few);

    return fixed_ram_map_fetched(block, first - 1) ||
           fixed_ram_map_fetched(block, first + few) ? many : few;
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
 * Somebody waits for the unit at @offset.  Whoever has claimed it already
 * will place it, and that wakes all who wait.
 */
static void serve_missing(FixedRamWorker *w, FixedRamBlock *block,
                          uint64_t offset, int64_t begun)
{
    FixedRamLoad *load = w->load;
    uint64_t unit = offset / block->unit;
    FixedRamClaim claim;
    size_t extent;

    if (qatomic_read(&load->stalled)) {
        /*
         * A failed load releases who waits.  A stalled one lets them wait:
         * fixed_ram_load_recover() has them fault again.
         */
        if (load_failed(load)) {
            place_zero(load, block, offset);
        }
        return;
    }
    if (!fixed_ram_map_claim_around(block, unit, fault_span(block, unit),
                                    &claim)) {
        fixed_ram_pace_hurry(&load->pace, (uintptr_t)block->host + offset);
        return;
    }
    extent = fixed_ram_map_extent(block, unit);
    set_bit_atomic(extent, load->asked);
    qatomic_set(&load->last_asked, extent + 1);
    fixed_ram_bring_fault(w, &claim, unit, begun);
}

static void serve_fault(FixedRamWorker *w, const FixedRamFault *fault)
{
    FixedRamLoad *load = w->load;
    const FixedRamLoadOps *ops = load->config.ops;
    FixedRamBlock *block = fixed_ram_map_find(load->map, fault->addr);
    int64_t begun = get_clock();
    uint64_t offset;
    uintptr_t addr;

    if (!block) {
        return;
    }
    offset = ROUND_DOWN(fault->addr - (uintptr_t)block->host, block->unit);
    addr = (uintptr_t)block->host + offset;
    trace_fixed_ram_fault(block->name, offset, fault->thread_id);
    qatomic_inc(&load->stats.faults);
    if (ops->wait_begin) {
        ops->wait_begin(load->config.opaque, addr, fault->thread_id);
        smp_mb();               /* pairs with fixed_ram_map_receive() */
    }

    if (fixed_ram_map_received(block, offset / block->unit)) {
        /* Zero from the start, or discarded by the guest since. */
        place_zero(load, block, offset);
        fixed_ram_latency_add(&load->stats.latency, get_clock() - begun);
    } else {
        serve_missing(w, block, offset, begun);
    }
    if (ops->wait_end &&
        fixed_ram_map_received(block, offset / block->unit)) {
        ops->wait_end(load->config.opaque, addr);
    }
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
            qatomic_set(&w->gone, true);
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

/*
 * Wait while the load is stalled, or while all has been claimed and nobody
 * has given anything back.  False: quit.
 */
static bool wait_for_work(FixedRamLoad *load, bool exhausted,
                          unsigned *rewinds)
{
    QEMU_LOCK_GUARD(&load->lock);
    while (!load->loaders_quit &&
           (load->stalled || (exhausted && *rewinds == load->rewinds))) {
        qemu_cond_wait(&load->cond, &load->lock);
    }
    *rewinds = load->rewinds;
    return !load->loaders_quit;
}

/*
 * What was asked for around here is likely to be asked for next: first where
 * the last fault was, then where others were, from there on and around.
 */
static bool claim_near(FixedRamWorker *w, FixedRamClaim *claim)
{
    FixedRamLoad *load = w->load;
    size_t extents = load->map->extents;
    size_t last = qatomic_read(&load->last_asked);

    if (last) {
        last = qatomic_xchg(&load->last_asked, 0);
        w->near = last ? last - 1 : w->near;
    }
    for (int round = 0; round < 2; round++) {
        while ((w->near = find_next_bit(load->asked, extents, w->near)) <
               extents) {
            if (fixed_ram_map_claim_in(load->map, w->near, claim)) {
                return true;
            }
            clear_bit_atomic(w->near, load->asked);
        }
        w->near = 0;
    }
    return false;
}

void *fixed_ram_loader_thread(void *opaque)
{
    FixedRamWorker *w = opaque;
    FixedRamLoad *load = w->load;
    bool exhausted = false;
    unsigned rewinds = 0;
    FixedRamClaim claim;
    FixedRamTurn turn;

    while (wait_for_work(load, exhausted, &rewinds)) {
        fixed_ram_pace_enter(&load->pace, &turn);
        exhausted = !claim_near(w, &claim) &&
                    !fixed_ram_map_claim_next(load->map, &w->cursor, &claim);
        if (exhausted) {
            fixed_ram_pace_leave(&load->pace, &turn);
        } else {
            uint64_t bytes = fixed_ram_claim_bytes(&claim);

            fixed_ram_bring_extent(w, &claim, &turn);
            fixed_ram_throttle_wait(&load->throttle, bytes);
        }
    }
    return NULL;
}
