/*
 * fixed-ram: make one huge page of an extent that faults have broken up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * A guest that touches pages all over its memory has broken up most extents
 * before loaders get there.  To copy the rest of such an extent page by page
 * costs half a millisecond, and to have the kernel collapse it afterwards costs
 * that again, under a lock that page faults need.
 *
 * So a loader that has read all that was missing of an extent takes the other
 * pages out of the guest's memory, copies them to their places in its own huge
 * page, and moves that one into the guest's memory:
 *
 *   guest's extent    ..AA......B.....     pages that faults have brought
 *                        |      |
 *                        v      v   UFFDIO_MOVE
 *   worker's spare    ..AA......B.....     and holes
 *                        |      |
 *                        v      v   memcpy()
 *   worker's buffer   rrAArrrrrrBrrrrr     with what was read; one huge page
 *                        |
 *                        v   UFFDIO_MOVE
 *   guest's extent    rrAArrrrrrBrrrrr
 *
 * Between the two moves the guest's pages are only in the spare buffer.  A
 * thread that touches one faults.  The unit is marked as received, and a fault
 * there means otherwise that the guest has discarded it, so that a fault thread
 * places zeros.  It does so under @remake_lock, and not in an extent whose bit
 * is set in @remaking; the loader sets the bit under the same lock.
 *
 * All data of the extent is either received or in the loader's claim, so no
 * other worker places anything in it.  A page that is in use for input or
 * output cannot be moved: then all pages go back to where they were.
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/lockable.h"
#include "qemu/madvise.h"
#include "claim.h"
#include "place.h"
#include "remake.h"
#include "../trace.h"
#include "worker.h"

#define RETRY_US        1000

/* The part of the claim's extent from @pos on that is not claimed. */
static bool next_unclaimed(const FixedRamClaim *claim, uint64_t pos,
                           FixedRamRun *run)
{
    FixedRamRun extent = fixed_ram_claim_extent(claim), claimed;
    uint64_t end = extent.offset + extent.length;

    pos = MAX(pos, extent.offset);
    while (fixed_ram_claim_next(claim, pos, 0, &claimed) &&
           claimed.offset == pos) {
        pos += claimed.length;
    }
    run->offset = pos;
    run->length = fixed_ram_claim_next(claim, pos, 0, &claimed)
        ? claimed.offset - pos : end - pos;
    return pos < end;
}

/* Where the byte at @offset of the block is while its page is taken out. */
static uint8_t *spare_at(const FixedRamWorker *w, uint64_t offset)
{
    return w->spare.mem + offset % FIXED_RAM_EXTENT_BYTES;
}

static bool map_spare(FixedRamWorker *w)
{
    if (w->spare.mem) {
        return true;
    }
    if (!fixed_ram_buffer_map(&w->spare, FIXED_RAM_EXTENT_BYTES, NULL)) {
        return false;
    }
    if (!fixed_ram_uffd_register_spare(&w->load->uffd, w->spare.mem,
                                       w->spare.size)) {
        fixed_ram_buffer_unmap(&w->spare);
        return false;
    }
    return true;
}

bool fixed_ram_remake_ready(FixedRamWorker *w)
{
    return w->load->uffd.can_remake && fixed_ram_claim_is_most(&w->claim) &&
           fixed_ram_place_follow_numa(w) && map_spare(w);
}

static void set_remaking(FixedRamWorker *w, bool on)
{
    FixedRamLoad *load = w->load;
    size_t extent = w->claim.block->first_extent + w->claim.extent;

    QEMU_LOCK_GUARD(&load->remake_lock);
    if (on) {
        set_bit(extent, load->remaking);
    } else {
        clear_bit(extent, load->remaking);
    }
}

bool fixed_ram_remake_under_way(FixedRamLoad *load, const FixedRamBlock *block,
                                uint64_t unit)
{
    return test_bit(fixed_ram_map_extent(block, unit), load->remaking);
}

/*
 * Give the pages at @run back to the guest, from the spare or from the buffer.
 * They are nowhere else, so this does not give up, unless the guest's memory
 * has been unmapped: the host may be out of memory for a while.
 */
static void give_back(FixedRamWorker *w, const FixedRamRun *run,
                      const uint8_t *from)
{
    const FixedRamBlock *block = w->claim.block;
    uint64_t more, done = 0;
    int ret;

    while ((ret = fixed_ram_uffd_copy(&w->load->uffd,
                                      block->host + run->offset + done,
                                      from + done, run->length - done,
                                      block->unit, &more)) &&
           ret != -ENOENT) {
        done += more;
        g_usleep(RETRY_US);
    }
}

/* Undo take_out() for what lies before @end. */
static void put_back(FixedRamWorker *w, uint64_t end)
{
    FixedRamRun run = { };

    while (next_unclaimed(&w->claim, run.offset + run.length, &run) &&
           run.offset < end) {
        run.length = MIN(run.length, end - run.offset);
        give_back(w, &run, spare_at(w, run.offset));
    }
}

/* Take the pages that are not claimed out of the guest's memory. */
static bool take_out(FixedRamWorker *w)
{
    const FixedRamBlock *block = w->claim.block;
    FixedRamRun run = { };

    while (next_unclaimed(&w->claim, run.offset + run.length, &run)) {
        uint64_t done;
        int ret = fixed_ram_uffd_take(&w->load->uffd, spare_at(w, run.offset),
                                      block->host + run.offset, run.length,
                                      &done);

        if (ret) {
            trace_fixed_ram_remake_failed(block->name, run.offset + done, ret);
            put_back(w, run.offset + done);
            return false;
        }
    }
    return true;
}

/* Put the pages that were taken out where they belong in the buffer. */
static void fill_in(FixedRamWorker *w)
{
    FixedRamRun run = { };

    while (next_unclaimed(&w->claim, run.offset + run.length, &run)) {
        memcpy(fixed_ram_worker_at(w, run.offset), spare_at(w, run.offset),
               run.length);
    }
}

/* Move the buffer's huge page to the guest's memory, or copy it there. */
static void put_in(FixedRamWorker *w)
{
    FixedRamBlock *block = w->claim.block;
    FixedRamRun rest = fixed_ram_claim_extent(&w->claim);
    uint64_t done;
    int ret;

    /* The page table must go, or the kernel splits the huge page. */
    qemu_madvise(block->host + rest.offset, rest.length, QEMU_MADV_DONTNEED);
    ret = fixed_ram_uffd_move(&w->load->uffd, block->host + rest.offset,
                              w->buf.mem, rest.length, &done);
    trace_fixed_ram_remake(block->name, rest.offset, done, ret);
    w->moves++;
    if (ret) {
        rest.offset += done;
        rest.length -= done;
        give_back(w, &rest, fixed_ram_worker_at(w, rest.offset));
    }
}

bool fixed_ram_remake(FixedRamWorker *w)
{
    bool ok;

    if (!fixed_ram_claim_completes(&w->claim)) {
        return false;
    }
    set_remaking(w, true);
    ok = take_out(w);
    if (ok) {
        fill_in(w);
        put_in(w);
    }
    set_remaking(w, false);
    if (ok) {
        fixed_ram_place_received(w);
    }
    qemu_madvise(w->spare.mem, w->spare.size, QEMU_MADV_DONTNEED);
    return ok;
}
