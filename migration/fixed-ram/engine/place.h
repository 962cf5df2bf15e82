/*
 * fixed-ram: placing what was read of a claim in the guest's memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_PLACE_H
#define MIGRATION_FIXED_RAM_ENGINE_PLACE_H

#include "internal.h"

/*
 * The first three functions are called before fixed_ram_read_claim(), the
 * others after it has succeeded: these place units of the worker's claim.  What
 * has been placed is received, and no longer part of the claim.  If placing
 * fails the rest of the claim is missing again, and the load stalls.  Only for
 * the worker's own thread.
 */

/**
 * fixed_ram_place_prepare(): eager: before reading, make sure that the memory
 * of the claim can be written
 *
 * The host may have no pages to give.  Fails as placing does.
 */
bool fixed_ram_place_prepare(FixedRamWorker *w);

/**
 * fixed_ram_place_follow_numa(): give the buffer the NUMA policy of the claim's
 * block
 *
 * Its pages may be lost, so this is done before reading.  Returns false if the
 * kernel refuses.
 */
bool fixed_ram_place_follow_numa(FixedRamWorker *w);

/**
 * fixed_ram_place_can_move(): on demand: before reading, make ready to move the
 * buffer's pages to the claim's extent
 *
 * Returns false if they must be copied, or if the claim is not a whole extent.
 */
bool fixed_ram_place_can_move(FixedRamWorker *w);

/**
 * fixed_ram_place_run(): place the units at @run from the worker's buffer
 *
 * Returns false on failure.
 */
bool fixed_ram_place_run(FixedRamWorker *w, const FixedRamRun *run);

/**
 * fixed_ram_place_bytes(): the same with the bytes at @from
 *
 * All pages at @run hold data.
 */
bool fixed_ram_place_bytes(FixedRamWorker *w, const FixedRamRun *run,
                           const uint8_t *from);

/**
 * fixed_ram_place_rest(): place all units left in the claim
 *
 * Zero pages of their clusters come with them, see
 * fixed_ram_claim_next_padded().
 */
void fixed_ram_place_rest(FixedRamWorker *w);

/**
 * fixed_ram_place_straight(): a whole extent was read into the block's memory:
 * clear its zero pages
 */
void fixed_ram_place_straight(FixedRamWorker *w);

/**
 * fixed_ram_place_move(): give the buffer's pages to the guest, as one huge
 * page if possible
 *
 * For a whole extent, on demand.  Units that the kernel does not move are
 * copied.
 */
void fixed_ram_place_move(FixedRamWorker *w);

/**
 * fixed_ram_place_received(): the caller has moved the buffer's pages to the
 * claim's extent: all of the claim is received
 */
void fixed_ram_place_received(FixedRamWorker *w);

/**
 * fixed_ram_place_wake(): have threads that wait at @run fault again
 *
 * To be called when @run of @block has been received.
 */
void fixed_ram_place_wake(FixedRamWorker *w, const FixedRamBlock *block,
                          const FixedRamRun *run);

#endif
