/*
 * fixed-ram: reading what a claim is for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_READ_H
#define MIGRATION_FIXED_RAM_ENGINE_READ_H

#include "internal.h"

typedef struct FixedRamReading {
    FixedRamWorker *w;
    const FixedRamClaim *claim;
    FixedRamTurn *turn;         /* a loader's; NULL: for a fault */
    bool straight;              /* into the block's memory, not the buffer */
    FixedRamSource *source;     /* filled in */
} FixedRamReading;

/**
 * fixed_ram_read_claim(): read all of a claim that the file holds
 *
 * And verify it, where the load has checksums.  What lies between is not
 * defined, nor is what was not claimed.  On failure the claim is missing again;
 * the load stalls, or has done so.
 */
bool fixed_ram_read_claim(FixedRamReading *r);

#endif
