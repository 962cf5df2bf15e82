/*
 * fixed-ram: checksums for a load without a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_RIG_SUMS_H
#define TESTS_UNIT_FIXED_RAM_RIG_SUMS_H

#include "migration/fixed-ram/format/sumtable.h"
#include "disk.h"

/** rig_sums_reserve(): have room for the table behind all pages */
uint64_t rig_sums_reserve(Disk *disk, const FixedRamMap *map);

/** rig_sums_write(): sum what the disk holds; the table goes to @offset */
FixedRamSumTable *rig_sums_write(Disk *disk, FixedRamMap *map,
                                 uint64_t offset);

#endif
