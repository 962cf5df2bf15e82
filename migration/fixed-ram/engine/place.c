/*
 * fixed-ram: placing what was read of a claim in the guest's memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "claim.h"
#include "numa.h"
#include "place.h"
#include "state.h"
#include "../trace.h"
#include "../util/memory.h"
#include "worker.h"

/*
 * If the guest's memory has a page table where a huge page should go, the
 * kernel splits the huge page of the buffer.  A page table then stays in the
 * buffer, and the kernel makes no huge page there again.  The kernel does not
 * report this, so the buffer is replaced after this number of moves.
 */
#define MOVES_MAX       32

/* A clear bit means zero, whatever the file or the buffer holds there. */
static void clear_zeros(const FixedRamBlock *block, const FixedRamRun *run,
                        uint8_t *buf)
{
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, pos, end, 0, &data)) {
        memset(buf + (pos - run->offset), 0, data.offset - pos);
        pos = data.offset + data.length;
    }
    memset(buf + (pos - run->offset), 0, end - pos);
}

/* Tell the engine's user if it has asked for this moment. */
static void notify_progress(FixedRamLoad *load, bool complete)
{
    uint64_t want = qatomic_read(&load->notify_left);

    if (complete) {
        trace_fixed_ram_complete();
        fixed_ram_state_notify(load);
    } else if (fixed_ram_map_left(load->map) <= want &&
               qatomic_cmpxchg(&load->notify_left, want, 0) == want && want) {
        fixed_ram_state_notify(load);
    }
}

static void end_waits(FixedRamLoad *load, const FixedRamBlock *block,
                      const FixedRamRun *run)
{
    const FixedRamLoadOps *ops = load->config.ops;
    uintptr_t addr = (uintptr_t)block->host + run->offset;

    if (ops->wait_end) {
        for (uint64_t i = 0; i < run->length; i += block->unit) {
            ops->wait_end(load->config.opaque, addr + i);
        }
    }
}

/* The units at @run are in place: the claim loses them. */
static void receive_run(FixedRamWorker *w, const FixedRamRun *run)
{
    FixedRamLoad *load = w->load;
    FixedRamBlock *block = w->claim.block;
    uint64_t bytes = fixed_ram_claim_bytes_in(&w->claim, run);
    bool complete;

    trace_fixed_ram_place(block->name, run->offset, run->length);
    fixed_ram_claim_drop(&w->claim, run);
    /* Before the last page is received: the figures are final then. */
    qatomic_add(w->fault ? &load->stats.fault_bytes
                         : &load->stats.loader_bytes, bytes);
    complete = fixed_ram_map_receive(load->map, block, run, bytes);
    end_waits(load, block, run);
    notify_progress(load, complete);
}

/* The first @length bytes of the claim's extent are in place. */
static void receive_extent(FixedRamWorker *w, uint64_t length)
{
    uint64_t end = fixed_ram_claim_extent(&w->claim).offset + length;
    FixedRamRun run;

    while (fixed_ram_claim_next(&w->claim, 0, 0, &run) && run.offset < end) {
        run.length = MIN(run.length, end - run.offset);
        receive_run(w, &run);
    }
}

/* The rest of the claim cannot be placed: it is missing again. */
static void place_failed(FixedRamWorker *w, Error *err)
{
    fixed_ram_map_return(&w->claim);
    fixed_ram_load_stall(w->load, err);
}

static bool prepare_run(const FixedRamBlock *block, const FixedRamRun *run,
                        Error **errp)
{
    ERRP_GUARD();

    if (!block->readonly &&
        !fixed_ram_memory_populate(block->host + run->offset, run->length,
                                   true, errp)) {
        error_prepend(errp, "block '%s' offset 0x%" PRIx64 ": ", block->name,
                      run->offset);
        return false;
    }
    return true;
}

bool fixed_ram_place_prepare(FixedRamWorker *w)
{
    const FixedRamClaim *claim = &w->claim;
    FixedRamRun run = fixed_ram_claim_extent(claim);
    Error *err = NULL;
    uint64_t pos = 0;

    if (fixed_ram_claim_is_whole(claim)) {
        /* The zero pages of a whole extent are written too. */
        prepare_run(claim->block, &run, &err);
    } else {
        while (!err && fixed_ram_claim_next(claim, pos, 0, &run)) {
            prepare_run(claim->block, &run, &err);
            pos = run.offset + run.length;
        }
    }
    if (err) {
        place_failed(w, err);
    }
    return !err;
}

/* Eager: copy, or see that this is not needed. */
static bool store_run(const FixedRamBlock *block, const FixedRamRun *run,
                      const uint8_t *from, Error **errp)
{
    uint8_t *to = block->host + run->offset;

    if (!block->readonly) {
        memcpy(to, from, run->length);
    } else if (memcmp(to, from, run->length)) {
        error_setg(errp, "block '%s' offset 0x%" PRIx64 " length 0x%" PRIx64
                   ": the memory is read-only, and its content is not that of "
                   "the snapshot", block->name, run->offset, run->length);
        return false;
    }
    return true;
}

/* On demand: place pages; sets @run->length to what is in place. */
static void copy_run(FixedRamWorker *w, FixedRamRun *run, const uint8_t *from,
                     Error **errp)
{
    const FixedRamBlock *block = w->claim.block;
    uint64_t length = run->length;
    int ret = fixed_ram_uffd_copy(&w->load->uffd, block->host + run->offset,
                                  from, length, block->unit, &run->length);

    if (ret == -ENOENT) {
        /* The memory was unplugged: its pages are needed no more. */
        run->length = length;
    } else if (ret < 0) {
        error_setg_errno(errp, -ret, "block '%s' offset 0x%" PRIx64
                         " length 0x%" PRIx64 ": could not place pages",
                         block->name, run->offset + run->length,
                         length - run->length);
    }
}

bool fixed_ram_place_bytes(FixedRamWorker *w, const FixedRamRun *run,
                           const uint8_t *from)
{
    const FixedRamBlock *block = w->claim.block;
    FixedRamRun done = *run;
    Error *err = NULL;

    if (w->load->config.on_demand) {
        copy_run(w, &done, from, &err);
    } else if (!store_run(block, run, from, &err)) {
        done.length = 0;
    }
    if (done.length) {
        receive_run(w, &done);
    }
    if (err) {
        place_failed(w, err);
    }
    return !err;
}

bool fixed_ram_place_run(FixedRamWorker *w, const FixedRamRun *run)
{
    uint8_t *from = fixed_ram_worker_at(w, run->offset);

    /* A unit larger than a page may have pages that hold no data. */
    clear_zeros(w->claim.block, run, from);
    return fixed_ram_place_bytes(w, run, from);
}

void fixed_ram_place_rest(FixedRamWorker *w)
{
    FixedRamRun run;

    while (fixed_ram_claim_next_padded(&w->claim, &run) &&
           fixed_ram_place_run(w, &run)) {
        /* the next one */
    }
}

void fixed_ram_place_straight(FixedRamWorker *w)
{
    FixedRamBlock *block = w->claim.block;
    FixedRamRun extent = fixed_ram_claim_extent(&w->claim);

    clear_zeros(block, &extent, block->host + extent.offset);
    receive_extent(w, extent.length);
}

bool fixed_ram_place_follow_numa(FixedRamWorker *w)
{
    const FixedRamBlock *block = w->claim.block;

    if (w->like != block &&
        fixed_ram_numa_follow(w->buf.mem, w->buf.size, block->host)) {
        w->like = block;
    }
    return w->like == block;
}

bool fixed_ram_place_can_move(FixedRamWorker *w)
{
    return fixed_ram_claim_is_whole(&w->claim) &&
           fixed_ram_place_follow_numa(w);
}

/* Give the buffer's pages to the guest, as one huge page if possible. */
static void move_extent(FixedRamWorker *w)
{
    FixedRamBlock *block = w->claim.block;
    FixedRamRun extent = fixed_ram_claim_extent(&w->claim);
    uint64_t done;
    int ret;

    clear_zeros(block, &extent, w->buf.mem);
    ret = fixed_ram_uffd_move(&w->load->uffd, block->host + extent.offset,
                              w->buf.mem, extent.length, &done);
    trace_fixed_ram_move(block->name, extent.offset, done, ret);
    if (!ret) {
        fixed_ram_map_set_whole(&w->claim);
        w->moves++;
    } else if (done) {
        w->moves = MOVES_MAX;
    }
    receive_extent(w, done);
}

/* The buffer's pages have been moved away. */
static void renew_buffer(FixedRamWorker *w)
{
    if (w->moves >= MOVES_MAX &&
        fixed_ram_buffer_map(&w->buf, w->buf.size, NULL)) {
        w->moves = 0;
        w->like = NULL;
    }
}

void fixed_ram_place_move(FixedRamWorker *w)
{
    move_extent(w);
    /*
     * Some pages may be left: the kernel does not move a page that is in use,
     * nor to an address that has a page already.
     */
    fixed_ram_place_rest(w);
    renew_buffer(w);
}

void fixed_ram_place_received(FixedRamWorker *w)
{
    receive_extent(w, fixed_ram_claim_extent(&w->claim).length);
    renew_buffer(w);
}

/*
 * A vCPU that was woken when a page came in may have discarded it and touched
 * it again before the page was marked as received.  A fault thread that saw
 * this did nothing; when the vCPU faults again it gets zeros.
 */
void fixed_ram_place_wake(FixedRamWorker *w, const FixedRamBlock *block,
                          const FixedRamRun *run)
{
    if (w->load->config.on_demand) {
        fixed_ram_uffd_wake(&w->load->uffd, block->host + run->offset,
                            run->length);
    }
}
