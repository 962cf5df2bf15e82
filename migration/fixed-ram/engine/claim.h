/*
 * fixed-ram: what a thread has claimed of an extent
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_CLAIM_H
#define MIGRATION_FIXED_RAM_ENGINE_CLAIM_H

#include "map.h"

/* A claim belongs to the thread that made it: map.h. */

/** fixed_ram_claim_extent(): where the extent of @claim lies in its block */
FixedRamRun fixed_ram_claim_extent(const FixedRamClaim *claim);

/** fixed_ram_claim_bytes(): bytes in the units of @claim */
uint64_t fixed_ram_claim_bytes(const FixedRamClaim *claim);

/** fixed_ram_claim_bytes_in(): the same for those of its units at @run */
uint64_t fixed_ram_claim_bytes_in(const FixedRamClaim *claim,
                                  const FixedRamRun *run);

/** fixed_ram_claim_has(): is the byte at @offset of the block claimed? */
bool fixed_ram_claim_has(const FixedRamClaim *claim, uint64_t offset);

/**
 * fixed_ram_claim_is_whole(): should a huge page back the claim's extent?
 *
 * Yes if the block may have huge pages, if @claim holds all data of the extent,
 * and if at least half of the extent is data.
 */
bool fixed_ram_claim_is_whole(const FixedRamClaim *claim);

/**
 * fixed_ram_claim_is_most(): could a huge page back the claim's extent if what
 * has been received of it were taken out?
 *
 * Yes if a huge page should back the extent, and if @claim holds at least three
 * quarters of its data: to take out a page costs several times what it costs to
 * place one.
 */
bool fixed_ram_claim_is_most(const FixedRamClaim *claim);

/**
 * fixed_ram_claim_completes(): is everything in the extent that @claim does not
 * hold received?
 *
 * Once it is, it stays so.
 */
bool fixed_ram_claim_completes(const FixedRamClaim *claim);

/**
 * fixed_ram_claim_next(): the next run of units of @claim, from @pos on
 *
 * @gap: bytes of units not claimed that may lie between two units of a run
 *
 * Returns false if there is none.
 */
bool fixed_ram_claim_next(const FixedRamClaim *claim, uint64_t pos,
                          uint64_t gap, FixedRamRun *run);

/**
 * fixed_ram_claim_next_padded(): the same without gaps, but with the zero pages
 * beside it
 *
 * If a huge page should back the extent later, all of its pages must be
 * present.  So the pages that hold no data come with those of their cluster
 * that do.
 */
bool fixed_ram_claim_next_padded(const FixedRamClaim *claim, FixedRamRun *run);

/** fixed_ram_claim_drop(): take the units at @run out of @claim */
void fixed_ram_claim_drop(FixedRamClaim *claim, const FixedRamRun *run);

#endif
