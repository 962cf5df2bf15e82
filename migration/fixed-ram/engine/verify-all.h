/*
 * fixed-ram: verify all pages of a snapshot before it is loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_VERIFY_ALL_H
#define MIGRATION_FIXED_RAM_ENGINE_VERIFY_ALL_H

#include "map.h"
#include "../format/source.h"
#include "../format/sumtable.h"

/**
 * fixed_ram_verify_all(): does the file hold what was saved?
 *
 * @map: blocks with their bitmaps and the numbers of their first clusters;
 *       their memory is neither needed nor used
 * @source: read by several threads at once, extent by extent
 * @threads: at most so many read
 *
 * Returns when all pages have been read and compared, or soon after the first
 * difference or error.  The error is that of the lowest extent that was found
 * to be bad.  The calling thread reads, too.
 */
bool fixed_ram_verify_all(const FixedRamMap *map, FixedRamSource *source,
                          FixedRamSumTable *sums, unsigned threads,
                          Error **errp);

#endif
