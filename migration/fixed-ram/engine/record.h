/*
 * fixed-ram: the order in which the guest touches its memory first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_RECORD_H
#define MIGRATION_FIXED_RAM_ENGINE_RECORD_H

#include "qemu/thread.h"
#include "map.h"
#include "../format/working-set.h"

/*
 * While a record is being made every fault brings one unit and loaders claim
 * nothing, so each unit that the guest touches faults once: missing units and
 * zero units alike.  Units in memory that is not registered with userfaultfd
 * are missed: all of it is zero, and touching it costs the guest no fault in a
 * later load, either.
 *
 * All zero, and initialized by fixed_ram_record_init(), is a record that is not
 * being made.
 */
typedef struct FixedRamRecord {
    bool active;                /* atomic: the record is being made */
    uint64_t pages;             /* atomic: pages in @set */
    QemuMutex lock;             /* guards what follows */
    FixedRamWorkingSet *set;    /* NULL: no record is being made */
} FixedRamRecord;

/** fixed_ram_record_init(): nothing is recorded */
void fixed_ram_record_init(FixedRamRecord *record);

/** fixed_ram_record_destroy(): no thread uses @record any more */
void fixed_ram_record_destroy(FixedRamRecord *record);

/** fixed_ram_record_begin(): record from now on; no thread uses @map yet */
void fixed_ram_record_begin(FixedRamRecord *record, FixedRamMap *map);

/** fixed_ram_record_active(): is the record being made?  Any thread. */
bool fixed_ram_record_active(const FixedRamRecord *record);

/** fixed_ram_record_pages(): pages recorded so far; any thread */
uint64_t fixed_ram_record_pages(const FixedRamRecord *record);

/**
 * fixed_ram_record_touch(): unit number @unit was touched
 *
 * Does nothing if it was touched before, if no record is being made, or if the
 * set is as long as it may become.  Any thread.
 */
void fixed_ram_record_touch(FixedRamRecord *record, FixedRamBlock *block,
                            uint64_t unit);

/**
 * fixed_ram_record_end(): end the record
 *
 * Returns the set, which the caller frees; NULL if no record was being made.
 * Any thread.
 */
FixedRamWorkingSet *fixed_ram_record_end(FixedRamRecord *record);

#endif
