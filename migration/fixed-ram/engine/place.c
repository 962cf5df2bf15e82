/*
 * fixed-ram: from a claim to pages in place
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "place.h"
#include "read.h"
#include "../trace.h"

/*
 * A move that found a page table where it wanted to put a huge page has left
 * one behind in the buffer, and no huge page would come there again.  The
 * kernel does not say, so begin anew now and then.
 */
#define MOVES_MAX       32

/* A clear bit says zero, whatever the file or the buffer holds. */
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

/*
 * Placing
 */

/* The units at @run are in place: @claim loses them; tell whom it concerns. */
static void run_received(FixedRamWorker *w, FixedRamClaim *claim,
                         const FixedRamRun *run)
{
    FixedRamLoad *load = w->load;
    FixedRamBlock *block = claim->block;
    const FixedRamLoadOps *ops = load->config.ops;
    uint64_t want;
    bool last;

    trace_fixed_ram_place(block->name, run->offset, run->length);
    fixed_ram_claim_drop(claim, run);
    /* Before the last page is received: then the figures are whole. */
    qatomic_add(w->fault ? &load->stats.fault_bytes
                         : &load->stats.loader_bytes, run->length);
    last = fixed_ram_map_receive(load->map, block, run);
    want = qatomic_read(&load->notify_left);
    if (ops->wait_end) {
        uintptr_t addr = (uintptr_t)block->host + run->offset;

        for (uint64_t i = 0; i < run->length; i += block->unit) {
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

/* The first @length bytes of the claim's extent are in place. */
static void claim_received(FixedRamWorker *w, FixedRamClaim *claim,
                           uint64_t length)
{
    uint64_t end = fixed_ram_claim_extent(claim).offset + length;
    FixedRamRun run;

    while (fixed_ram_claim_next(claim, 0, 0, &run) && run.offset < end) {
        run.length = MIN(run.length, end - run.offset);
        run_received(w, claim, &run);
    }
}

/* Copy @run of @claim from the buffer to its place. */
static bool copy_run(FixedRamWorker *w, FixedRamClaim *claim, FixedRamRun run,
                     Error **errp)
{
    FixedRamBlock *block = claim->block;
    uint8_t *from = fixed_ram_worker_at(w, run.offset);
    uint8_t *to = block->host + run.offset;
    uint64_t done = run.length;
    int ret = 0;

    /* A unit larger than a page may have pages without data in it. */
    clear_zeros(block, &run, from);
    if (!w->load->config.on_demand) {
        memcpy(to, from, run.length);
    } else {
        ret = fixed_ram_uffd_copy(&w->load->uffd, to, from, run.length,
                                  block->unit, &done);
    }
    if (ret == -ENOENT) {
        /* The memory was unplugged, its pages are wanted no more. */
        done = run.length;
    } else if (ret < 0) {
        error_setg_errno(errp, -ret, "block '%s' offset 0x%" PRIx64
                         " length 0x%" PRIx64 ": could not place pages",
                         block->name, run.offset + done, run.length - done);
    }
    if (done) {
        run.length = done;
        run_received(w, claim, &run);
    }
    return !ret || ret == -ENOENT;
}

/* The same, and on failure the rest of @claim is missing again. */
static bool place_run(FixedRamWorker *w, FixedRamClaim *claim,
                      const FixedRamRun *run)
{
    Error *err = NULL;

    if (!copy_run(w, claim, *run, &err)) {
        fixed_ram_map_return(claim);
        fixed_ram_load_stall(w->load, err);
        return false;
    }
    return true;
}

static void place_claim(FixedRamWorker *w, FixedRamClaim *claim)
{
    FixedRamRun run;

    while (fixed_ram_claim_next(claim, 0, 0, &run) &&
           place_run(w, claim, &run)) {
        /* the next one */
    }
}

/*
 * Give the buffer's huge page to the guest.  What is left of the claim then
 * has to be copied: a page of zeros may have been asked for in the meantime,
 * or something holds on to a page.
 */
static void move_claim(FixedRamWorker *w, FixedRamClaim *claim)
{
    FixedRamRun extent = fixed_ram_claim_extent(claim);
    uint64_t done;
    int ret = fixed_ram_uffd_move(&w->load->uffd,
                                  claim->block->host + extent.offset, w->buf.mem,
                                  extent.length, &done);

    trace_fixed_ram_move(claim->block->name, extent.offset, done, ret);
    if (!ret) {
        fixed_ram_map_set_whole(claim);
        w->moves++;
    } else if (done) {
        w->moves = MOVES_MAX;
    }
    claim_received(w, claim, done);
}

/*
 * Whoever was woken as a page came in may have discarded it and touched it
 * again before it was marked as received.  A fault thread that saw this did
 * nothing; now it will place zeros.
 */
static void wake_run(FixedRamWorker *w, const FixedRamBlock *block,
                     const FixedRamRun *run)
{
    if (w->load->config.on_demand) {
        fixed_ram_uffd_wake(&w->load->uffd, block->host + run->offset,
                            run->length);
    }
}

/*
 * Both ways
 */

void fixed_ram_bring_fault(FixedRamWorker *w, FixedRamClaim *claim,
                           uint64_t unit, int64_t begun)
{
    FixedRamLoad *load = w->load;
    FixedRamBlock *block = claim->block;
    FixedRamReading r = { .w = w, .claim = claim };
    FixedRamRun all, first = {
        .offset = unit * block->unit, .length = block->unit,
    };
    bool ok;

    fixed_ram_claim_next(claim, 0, UINT64_MAX, &all);
    fixed_ram_pace_fault(&load->pace);
    ok = fixed_ram_read_claim(&r);
    fixed_ram_pace_fault_end(&load->pace);
    if (ok && place_run(w, claim, &first)) {
        fixed_ram_latency_add(&load->stats.latency, get_clock() - begun);
        place_claim(w, claim);
        wake_run(w, block, &all);
    }
}

void fixed_ram_bring_extent(FixedRamWorker *w, FixedRamClaim *claim,
                            FixedRamTurn *turn)
{
    FixedRamBlock *block = claim->block;
    FixedRamRun extent = fixed_ram_claim_extent(claim);
    bool on_demand = w->load->config.on_demand;
    bool whole = fixed_ram_claim_is_whole(claim);
    FixedRamReading r = {
        .w = w, .claim = claim, .turn = turn, .straight = whole && !on_demand,
    };
    bool ok = fixed_ram_read_claim(&r);

    fixed_ram_pace_leave(&w->load->pace, turn);
    if (!ok) {
        return;
    }
    if (r.straight) {
        clear_zeros(block, &extent, block->host + extent.offset);
        claim_received(w, claim, extent.length);
    } else if (whole) {
        clear_zeros(block, &extent, w->buf.mem);
        move_claim(w, claim);
    }
    place_claim(w, claim);
    wake_run(w, block, &extent);
    if (w->moves >= MOVES_MAX) {
        /* Without memory for a new buffer the worker keeps the old one. */
        if (fixed_ram_buffer_map(&w->buf, w->buf.size, NULL)) {
            w->moves = 0;
        }
    }
}
