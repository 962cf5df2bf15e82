/*
 * fixed-ram: the guest's RAM blocks and the snapshot's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_RAMBLOCKS_H
#define MIGRATION_FIXED_RAM_RAMBLOCKS_H

#include "engine/map.h"
#include "format/ramsection.h"

/* All of this belongs to the main thread, under the big lock. */

/**
 * fixed_ram_blocks_match(): does @snapshot fit this guest's RAM?
 *
 * @name: the snapshot's file, for messages
 */
bool fixed_ram_blocks_match(const FixedRamSnapshot *snapshot,
                            const char *name, Error **errp);

/** fixed_ram_blocks_postcopiable(): can all blocks be loaded on demand? */
bool fixed_ram_blocks_postcopiable(Error **errp);

/**
 * fixed_ram_blocks_resize(): give resizable blocks the snapshot's length
 */
bool fixed_ram_blocks_resize(const FixedRamSnapshot *snapshot, Error **errp);

/**
 * fixed_ram_blocks_map(): read all bitmaps and make the page map
 *
 * @on_demand: units are the blocks' host pages, else the target's pages
 *
 * Memory is not touched, and nothing of the guest's has to fit yet:
 * fixed_ram_blocks_attach() says where blocks lie.
 */
FixedRamMap *fixed_ram_blocks_map(const FixedRamSnapshot *snapshot,
                                  FixedRamSource *source, bool on_demand,
                                  Error **errp);

/** fixed_ram_blocks_attach(): tell @map where its blocks are in memory. */
void fixed_ram_blocks_attach(FixedRamMap *map);

/**
 * fixed_ram_blocks_empty(): discard the blocks' memory, all of it
 *
 * On demand: what is present would never fault.
 */
bool fixed_ram_blocks_empty(Error **errp);

/**
 * fixed_ram_blocks_zero(): make every page zero that the snapshot says is
 *
 * Eager: the memory may have been used before, by firmware tables or by
 * whoever else has the backend's file.
 */
void fixed_ram_blocks_zero(const FixedRamMap *map);

#endif
