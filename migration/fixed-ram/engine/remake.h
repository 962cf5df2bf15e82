/*
 * fixed-ram: make one huge page of an extent that faults have broken up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_REMAKE_H
#define MIGRATION_FIXED_RAM_ENGINE_REMAKE_H

#include "internal.h"

/**
 * fixed_ram_remake_ready(): on demand: before reading, make ready to remake the
 * extent of the worker's claim
 *
 * Returns false if the claim's units must be copied.
 */
bool fixed_ram_remake_ready(FixedRamWorker *w);

/**
 * fixed_ram_remake(): place the worker's claim and have one huge page back its
 * extent
 *
 * After fixed_ram_read_claim() has succeeded.  Threads that touch the extent
 * meanwhile wait for a fraction of a millisecond; the caller wakes them.  Only
 * for the worker's own thread.
 *
 * Returns false if that is not possible; then nothing has been placed.
 */
bool fixed_ram_remake(FixedRamWorker *w);

/**
 * fixed_ram_remake_under_way(): is the extent in which @unit lies being remade?
 *
 * Then received units are missing for now, and must not be taken for zeros.
 * Called with @remake_lock held, and true for as long as it is held.
 */
bool fixed_ram_remake_under_way(FixedRamLoad *load, const FixedRamBlock *block,
                                uint64_t unit);

#endif
