/*
 * fixed-ram: from a claim to pages in place
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_PLACE_H
#define MIGRATION_FIXED_RAM_ENGINE_PLACE_H

#include "internal.h"

/* What is brought for one fault, at most. */
#define FIXED_RAM_FAULT_BYTES_MAX   (256 * KiB)

/*
 * Whatever is read is put together in the worker's buffer and goes from there
 * into the guest's memory.  Eager loads read whole extents straight into
 * place.
 *
 * On failure what could not be placed is missing again, and the load stalls.
 */

/**
 * fixed_ram_bring_fault(): bring @claim; somebody waits for unit @unit of it
 *
 * @begun: when the fault was taken up, for the statistics
 */
void fixed_ram_bring_fault(FixedRamWorker *w, FixedRamClaim *claim,
                           uint64_t unit, int64_t begun);

/**
 * fixed_ram_bring_extent(): bring @claim, at the pace that faults leave
 *
 * @turn: as fixed_ram_pace_enter() left it; given up after the last read
 */
void fixed_ram_bring_extent(FixedRamWorker *w, FixedRamClaim *claim,
                            FixedRamTurn *turn);

#endif
