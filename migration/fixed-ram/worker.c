/*
 * fixed-ram: the engine's threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/rcu.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "worker.h"
#include "trace.h"

/* What a fault brings at most: its neighbours are likely to be next. */
#define FAULT_BYTES             (64 * KiB)
/*
 * A loader holds back while a fault is served and for a while after it, for
 * the guest's next one; but no longer than so before each read, or a guest
 * that faults without pause would never have all of its memory.
 */
#define QUIET_NS                (1 * SCALE_MS)
#define YIELD_STEP_US           100
#define YIELD_STEPS             20
#define BANDWIDTH_SLICE_NS      (100 * SCALE_MS)

static bool load_failed(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    return load->failed;
}

/* Fill @buf with what the block holds in @run. */
static bool read_run(FixedRamSource *source, const FixedRamBlock *block,
                     const FixedRamRun *run, uint8_t *buf, Error **errp)
{
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, pos, end, &data)) {
        memset(buf + (pos - run->offset), 0, data.offset - pos);
        if (!fixed_ram_source_read_pages(source,
                                         buf + (data.offset - run->offset),
                                         data.length,
                                         block->pages_offset + data.offset,
                                         errp)) {
            error_prepend(errp, "block '%s' offset 0x%" PRIx64 " length 0x%"
                          PRIx64 ": ", block->name, data.offset, data.length);
            return false;
        }
        pos = data.offset + data.length;
    }
    memset(buf + (pos - run->offset), 0, end - pos);
    return true;
}

static bool place_run(FixedRamLoad *load, const FixedRamBlock *block,
                      const FixedRamRun *run, const uint8_t *buf,
                      Error **errp)
{
    int ret = fixed_ram_uffd_copy(&load->uffd, block->host + run->offset, buf,
                                  run->length, block->unit);

    /* ENOENT: the memory was unplugged, its pages are wanted no more. */
    if (ret < 0 && ret != -ENOENT) {
        error_setg_errno(errp, -ret, "block '%s' offset 0x%" PRIx64
                         " length 0x%" PRIx64 ": could not place pages",
                         block->name, run->offset, run->length);
        return false;
    }
    trace_fixed_ram_place(block->name, run->offset, run->length);
    return true;
}

/* The units of @part, at @run, are in place: tell whom it concerns. */
static void run_received(FixedRamWorker *w, const FixedRamClaim *part,
                         const FixedRamRun *run)
{
    FixedRamLoad *load = w->load;
    const FixedRamLoadOps *ops = load->config.ops;
    uint64_t want;
    bool last;

    /* Before the last page is received: then the figures are whole. */
    qatomic_add(w->fault ? &load->stats.fault_bytes
                         : &load->stats.loader_bytes, run->length);
    last = fixed_ram_map_receive(load->map, part);
    want = qatomic_read(&load->notify_left);
    if (w->buf) {
        /*
         * Whoever was woken by the copy may have discarded the page and
         * touched it again before it was marked as received.  A fault thread
         * that saw this did nothing; now it will place zeros.
         */
        fixed_ram_uffd_wake(&load->uffd, part->block->host + run->offset,
                            run->length);
    }
    if (ops->wait_end) {
        uintptr_t addr = (uintptr_t)part->block->host + run->offset;

        for (uint64_t i = 0; i < run->length; i += part->block->unit) {
            ops->wait_end(load->config.opaque, addr + i);
        }
    }
    if (last) {
        trace_fixed_ram_complete();
        fixed_ram_load_notify(load);
    } else if (fixed_ram_map_left(load->map) <= want &&
               qatomic_cmpxchg(&load->notify_left, want, 0) == want && want) {
        fixed_ram_load_notify(load);
    }
}

/*
 * Read and place the units of one claim; on failure those not placed are
 * missing again and the load stalls.
 */
static bool bring(FixedRamWorker *w, FixedRamClaim *claim)
{
    FixedRamLoad *load = w->load;
    const FixedRamBlock *block = claim->block;
    FixedRamClaim part;
    FixedRamRun run;
    Error *err = NULL;

    trace_fixed_ram_claim(block->name, claim->word, claim->mask, w->fault);
    while (fixed_ram_claim_cut(claim, &part, &run)) {
        FixedRamSource *source = qatomic_load_acquire(&load->source);
        uint8_t *buf = w->buf ?: block->host + run.offset;

        if (!read_run(source, block, &run, buf, &err)) {
            fixed_ram_map_return(&part);
            fixed_ram_map_return(claim);
            fixed_ram_load_read_failed(load, source, err);
            return false;
        }
        if (w->buf && !place_run(load, block, &run, buf, &err)) {
            fixed_ram_map_return(&part);
            fixed_ram_map_return(claim);
            fixed_ram_load_stall(load, err);
            return false;
        }
        run_received(w, &part, &run);
    }
    return true;
}

/* How many units of @block make up @bytes: a power of two, 64 at most. */
static unsigned units_in(const FixedRamBlock *block, uint64_t bytes)
{
    return MIN(MAX(bytes / block->unit, 1), BITS_PER_LONG);
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
                          uint64_t offset)
{
    FixedRamLoad *load = w->load;
    uint64_t unit = offset / block->unit;
    FixedRamClaim claim;

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
    if (!fixed_ram_map_claim_around(block, unit,
                                    units_in(block, FAULT_BYTES), &claim)) {
        return;
    }
    qatomic_inc(&load->urgent);
    bring(w, &claim);
    qatomic_set(&load->last_fault, get_clock());
    qatomic_dec(&load->urgent);
}

static void serve_fault(FixedRamWorker *w, const FixedRamFault *fault)
{
    FixedRamLoad *load = w->load;
    const FixedRamLoadOps *ops = load->config.ops;
    FixedRamBlock *block = fixed_ram_map_find(load->map, fault->addr);
    int64_t start = get_clock();
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
    } else {
        serve_missing(w, block, offset);
    }
    if (fixed_ram_map_received(block, offset / block->unit)) {
        if (ops->wait_end) {
            ops->wait_end(load->config.opaque, addr);
        }
        fixed_ram_latency_add(&load->stats.latency, get_clock() - start);
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

/* A disk serves one after the other: let whoever waits go first. */
static void yield_to_faults(FixedRamLoad *load)
{
    for (int i = 0; i < YIELD_STEPS; i++) {
        int64_t last = qatomic_read(&load->last_fault);

        if (!qatomic_read(&load->urgent) && get_clock() - last > QUIET_NS) {
            break;
        }
        g_usleep(YIELD_STEP_US);
    }
}

/* The limit for loaders, which may change at any time; 0: none. */
static uint64_t load_bandwidth(FixedRamLoad *load)
{
    const FixedRamLoadOps *ops = load->config.ops;

    return ops->bandwidth && load->guest_runs
           ? ops->bandwidth(load->config.opaque) : 0;
}

/* Wait as long as the bandwidth for loaders says.  False: quit. */
static bool keep_bandwidth(FixedRamLoad *load, uint64_t bytes)
{
    uint64_t speed;
    int64_t until;

    QEMU_LOCK_GUARD(&load->lock);
    speed = load_bandwidth(load);
    ratelimit_set_speed(&load->limit, speed, BANDWIDTH_SLICE_NS);
    until = get_clock() + ratelimit_calculate_delay(&load->limit, bytes);
    while (!load->loaders_quit && get_clock() < until &&
           load_bandwidth(load) == speed) {
        qemu_cond_timedwait(&load->cond, &load->lock,
                            BANDWIDTH_SLICE_NS / SCALE_MS);
    }
    return !load->loaders_quit;
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

void *fixed_ram_loader_thread(void *opaque)
{
    FixedRamWorker *w = opaque;
    FixedRamLoad *load = w->load;
    unsigned rewinds = 0;
    FixedRamClaim claim;
    bool ok = true;

    while (ok) {
        yield_to_faults(load);
        if (qatomic_read(&load->stalled)) {
            ok = wait_for_work(load, false, &rewinds);
        } else if (fixed_ram_map_claim_next(load->map, &w->cursor,
                                            FIXED_RAM_LOADER_BYTES, &claim)) {
            uint64_t bytes = ctpop64(claim.mask) * claim.block->unit;

            bring(w, &claim);
            ok = keep_bandwidth(load, bytes);
        } else {
            ok = wait_for_work(load, true, &rewinds);
        }
    }
    return NULL;
}
