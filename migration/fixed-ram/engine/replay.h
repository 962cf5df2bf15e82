/*
 * fixed-ram: bringing the pages of a working set first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_REPLAY_H
#define MIGRATION_FIXED_RAM_ENGINE_REPLAY_H

#include "internal.h"

/*
 * Loaders bring the pages of a set before all others, in the order of first
 * touch, in one of three ways:
 *
 *   packed   from the packed copy, a portion in one read
 *   places   from where the pages lie, as faults read them: if there is no
 *            packed copy or it is damaged, after a recovery, whose file may
 *            have another set, and for units larger than a page
 *   coarse   if the set is a large part of the data: whole extents, at the
 *            pace of loaders; the set only gives the order of the extents
 *
 * Zero pages of the set are placed, too: each would cost the guest a fault.
 * All pages are claimed before they are read, so a fault for one of them waits
 * for that read, and a fault for another page has its own.
 */

/**
 * fixed_ram_replay_init(): replay the set of the load's configuration
 *
 * No thread runs yet.
 */
void fixed_ram_replay_init(FixedRamLoad *load);

/** fixed_ram_replay_destroy(): no thread uses the replay any more */
void fixed_ram_replay_destroy(FixedRamLoad *load);

/**
 * fixed_ram_replay_portion(): packed, places: bring the next pages of the set
 *
 * @bytes: filled in: how much was read
 *
 * Returns false if there are no more.  Only for a loader's own thread, and as
 * fixed_ram_worker_read_end() says the call may not return.
 */
bool fixed_ram_replay_portion(FixedRamWorker *w, uint64_t *bytes);

/**
 * fixed_ram_replay_claim(): coarse: claim in the next extent of the set
 *
 * @all: as for fixed_ram_map_claim_in()
 *
 * Returns false if nothing of the set is missing.  Only for a loader's own
 * thread.
 */
bool fixed_ram_replay_claim(FixedRamWorker *w, bool all);

/**
 * fixed_ram_replay_fault(): a thread waits for unit number @unit
 *
 * @now: get_clock()
 *
 * Counts faults outside the set.  Any thread.
 */
void fixed_ram_replay_fault(FixedRamLoad *load, const FixedRamBlock *block,
                            uint64_t unit, int64_t now);

#endif
