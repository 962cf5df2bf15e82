/*
 * fixed-ram: a working set for a load without a guest
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_RIG_SET_H
#define TESTS_UNIT_FIXED_RAM_RIG_SET_H

#include "migration/fixed-ram/format/working-set.h"
#include "disk.h"

/** rig_set_add(): the guest touches these pages next; data as the map has it */
void rig_set_add(FixedRamWorkingSet *set, const FixedRamMap *map,
                 uint32_t block, uint64_t first, uint64_t pages);

/* Adds the pages of a set. */
typedef void RigSetFunc(FixedRamWorkingSet *set, const FixedRamMap *map);

/** rig_set_scattered(): some pages of all blocks, alone and in short runs */
void rig_set_scattered(FixedRamWorkingSet *set, const FixedRamMap *map);

/** rig_set_everything(): all pages, backwards, in runs that cross extents */
void rig_set_everything(FixedRamWorkingSet *set, const FixedRamMap *map);

/** rig_set_reserve(): have room for a packed copy behind all else */
void rig_set_reserve(FixedRamWorkingSet *set, Disk *disk);

/** rig_set_pack(): write the packed copy that there is room for */
void rig_set_pack(FixedRamWorkingSet *set, const FixedRamMap *map,
                  Disk *disk);

/** rig_set_data(): the set's pages with data, as addresses, in its order */
GArray *rig_set_data(const FixedRamWorkingSet *set, const FixedRamMap *map);

/** rig_set_bytes(): bytes of these pages, none counted twice */
uint64_t rig_set_bytes(const FixedRamWorkingSet *set, const FixedRamMap *map);

#endif
