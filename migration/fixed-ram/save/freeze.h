/*
 * fixed-ram: protect all memory in a short stop
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_FREEZE_H
#define MIGRATION_FIXED_RAM_SAVE_FREEZE_H

#include "populated.h"
#include "protect.h"

/* What these functions need of a block.  The caller owns all of it. */
typedef struct FixedRamFreezeBlock {
    const FixedRamMemory *mem;
    const FixedRamPopulated *populated;
    unsigned long *todo;        /* a bit for each page; fixed_ram_freeze() */
} FixedRamFreezeBlock;

/**
 * fixed_ram_freeze_early(): protect all memory, while it may be written
 *
 * Returns 0 or a negative errno.
 */
int fixed_ram_freeze_early(FixedRamProtect *protect,
                           const FixedRamFreezeBlock *blocks, size_t nblocks);

/**
 * fixed_ram_freeze(): protect what has been written since, or is new
 *
 * @page_size: of the pages in bitmaps
 *
 * Clears the bits of pages that are absent.  Nothing is written meanwhile.  One
 * or two more threads help if the host allows them.  Returns 0 or a negative
 * errno.
 */
int fixed_ram_freeze(FixedRamProtect *protect,
                     const FixedRamFreezeBlock *blocks, size_t nblocks,
                     size_t page_size);

#endif
