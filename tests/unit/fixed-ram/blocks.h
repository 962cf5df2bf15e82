/*
 * fixed-ram: blocks without memory, for tests of the page map
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_BLOCKS_H
#define TESTS_UNIT_FIXED_RAM_BLOCKS_H

#include "migration/fixed-ram/engine/claim.h"

#define PAGE 4096ULL

/** block_new(): @pages pages that hold nothing; the caller sets their bits. */
FixedRamBlock *block_new(const char *name, uint64_t pages, uint64_t unit);

/** add_full(): the same with every page in the file, added to @map. */
FixedRamBlock *add_full(FixedRamMap *map, const char *name, uint64_t pages,
                        uint64_t unit);

/**
 * add_coarse(): @units units of one page each, all in the file
 *
 * For units so large that a bit for each 4 KiB would be a lot of bits.
 */
FixedRamBlock *add_coarse(FixedRamMap *map, uint64_t units, uint64_t unit);

#endif
