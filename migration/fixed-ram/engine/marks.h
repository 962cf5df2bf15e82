/*
 * fixed-ram: the units that belong to a working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_MARKS_H
#define MIGRATION_FIXED_RAM_ENGINE_MARKS_H

#include "map.h"

/*
 * One bit a unit.  While a set is recorded the bit says that the unit has been
 * touched, while one is replayed that the unit belongs to it.  A load does at
 * most one of both.
 */

/** fixed_ram_marks_init(): mark no unit of any block; the map owns the bits */
void fixed_ram_marks_init(FixedRamMap *map);

/**
 * fixed_ram_marks_set(): mark unit number @unit
 *
 * Returns false if it was marked before.  One thread at a time.
 */
bool fixed_ram_marks_set(FixedRamBlock *block, uint64_t unit);

/** fixed_ram_marks_set_run(): mark all units in which @run has a byte */
void fixed_ram_marks_set_run(FixedRamBlock *block, const FixedRamRun *run);

/**
 * fixed_ram_marks_get(): is unit number @unit marked?
 *
 * Any thread, while no unit is being marked.
 */
bool fixed_ram_marks_get(const FixedRamBlock *block, uint64_t unit);

#endif
