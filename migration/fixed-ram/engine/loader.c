/*
 * fixed-ram: loaders
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "claim.h"
#include "loader.h"
#include "place.h"
#include "read.h"
#include "remake.h"
#include "replay.h"
#include "state.h"
#include "worker.h"

/*
 * The extent at which a loader goes on looking for faults.  The extent of the
 * last fault comes first; one loader takes it.
 */
static size_t scan_start(FixedRamWorker *w)
{
    size_t last = qatomic_read(&w->load->last_asked);

    if (last) {
        last = qatomic_xchg(&w->load->last_asked, 0);
    }
    return last ? last - 1 : w->near;
}

/*
 * Claim all that is left of an extent, so that it can be remade?  Not while
 * there are some faults, for which the guest would have to wait then.
 */
static bool claims_all(const FixedRamWorker *w)
{
    return !w->turn.held ||
           fixed_ram_pace_effort(&w->load->pace) != FIXED_RAM_EFFORT_POLITE;
}

/* Claim in one of the extents [@from, @end) in which the guest is. */
static bool claim_asked(FixedRamWorker *w, bool all, size_t from, size_t end)
{
    FixedRamLoad *load = w->load;

    for (size_t i = find_next_bit(load->asked, end, from); i < end;
         i = find_next_bit(load->asked, end, i)) {
        w->near = i;
        if (fixed_ram_map_claim_in(load->map, i, all, &w->claim)) {
            return true;
        }
        clear_bit_atomic(i, load->asked);
    }
    return false;
}

/*
 * The guest is likely to touch next what lies near its last faults: go on
 * there, and then through all other extents in which there were faults, or
 * pages of the working set.
 */
static bool claim_near(FixedRamWorker *w, bool all)
{
    size_t start = scan_start(w);

    return claim_asked(w, all, start, w->load->map->extents) ||
           claim_asked(w, all, 0, start);
}

/* Read and place the worker's claim, at the pace that faults leave. */
static void load_claim(FixedRamWorker *w)
{
    FixedRamBlock *block = w->claim.block;
    FixedRamRun extent = fixed_ram_claim_extent(&w->claim);
    bool on_demand = w->load->config.on_demand;
    bool whole = on_demand ? fixed_ram_place_can_move(w)
                           : fixed_ram_claim_is_whole(&w->claim);
    bool remake = on_demand && !whole && fixed_ram_remake_ready(w);
    bool ok = (on_demand || fixed_ram_place_prepare(w)) &&
              fixed_ram_read_claim(w, whole && !on_demand);

    fixed_ram_pace_leave(&w->load->pace, &w->turn);
    if (!ok) {
        return;
    }
    if (whole && on_demand) {
        fixed_ram_place_move(w);
    } else if (whole) {
        fixed_ram_place_straight(w);
    } else if (!remake || !fixed_ram_remake(w)) {
        fixed_ram_place_rest(w);
    }
    fixed_ram_place_wake(w, block, &extent);
}

void *fixed_ram_loader_thread(void *opaque)
{
    FixedRamWorker *w = opaque;
    FixedRamLoad *load = w->load;
    bool exhausted = false, all;
    unsigned rewinds = 0;

    while (fixed_ram_state_wait_for_work(load, exhausted, &rewinds)) {
        uint64_t bytes;

        if (fixed_ram_replay_portion(w, &bytes)) {
            fixed_ram_throttle_wait(&load->throttle, bytes);
            exhausted = false;
            continue;
        }
        fixed_ram_worker_refill(w);
        fixed_ram_pace_enter(&load->pace, &w->turn);
        all = claims_all(w);
        exhausted = !claim_near(w, all) && !fixed_ram_replay_claim(w, all) &&
                    !fixed_ram_map_claim_next(load->map, &w->cursor, all,
                                              &w->claim);
        if (exhausted) {
            fixed_ram_pace_leave(&load->pace, &w->turn);
        } else {
            bytes = fixed_ram_claim_bytes(&w->claim);
            load_claim(w);
            fixed_ram_throttle_wait(&load->throttle, bytes);
        }
    }
    return NULL;
}
