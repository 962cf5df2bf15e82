/*
 * fixed-ram: a working set, piece by piece in the order of first touch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_ORDER_H
#define MIGRATION_FIXED_RAM_ENGINE_ORDER_H

#include "map.h"
#include "../format/working-set.h"

/* A place in a set.  All zero is its beginning. */
typedef struct FixedRamOrder {
    size_t run;                 /* number of the run */
    uint64_t page;              /* pages of that run that lie before */
    uint64_t packed;            /* bytes of the packed copy that lie before */
} FixedRamOrder;

/*
 * Pages of one extent that follow each other, all with data or all zero.  The
 * block's bitmap decides that.  Of a damaged set it may contradict what the set
 * says, which is whether the packed copy has bytes for them.
 */
typedef struct FixedRamOrderPiece {
    FixedRamBlock *block;
    FixedRamRun run;
    bool data;
    bool packed;
} FixedRamOrderPiece;

/**
 * fixed_ram_order_next(): the piece at @at, which moves on behind it
 *
 * @set: of the snapshot of which @map is the memory
 * @most: how many bytes of the packed copy the piece may have
 *
 * Returns false at the end of the set.  Any thread.
 */
bool fixed_ram_order_next(const FixedRamWorkingSet *set,
                          const FixedRamMap *map, FixedRamOrder *at,
                          uint64_t most, FixedRamOrderPiece *piece);

#endif
