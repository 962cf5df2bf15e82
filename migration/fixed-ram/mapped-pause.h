/*
 * fixed-ram: pause and recovery of a guest whose RAM is a mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_MAPPED_PAUSE_H
#define MIGRATION_FIXED_RAM_MAPPED_PAUSE_H

#include "engine/map.h"
#include "format/snapshot.h"

/*
 * A thread that touches a page that cannot be read waits, see engine/repair.h,
 * and the incoming migration, which has completed as a rule, becomes paused.
 */

/**
 * fixed_ram_mapped_pause_init(): from now on bad pages pause the guest
 *
 * @s: the snapshot that is mapped; exists until QEMU ends
 * @map: knows where the blocks are; exists until QEMU ends
 * @sums: see fixed_ram_repair_start()
 *
 * Main thread.
 */
void fixed_ram_mapped_pause_init(const FixedRamSnapshot *s,
                                 const FixedRamMap *map,
                                 FixedRamSumTable *sums);

/** fixed_ram_mapped_pause_forget(): the memory at @host goes; main thread */
void fixed_ram_mapped_pause_forget(const void *host);

/**
 * fixed_ram_mapped_pause_snapshot(): the snapshot whose bad pages pause
 *
 * Returns NULL if there is none.  Any thread.
 */
const FixedRamSnapshot *fixed_ram_mapped_pause_snapshot(void);

/** fixed_ram_mapped_pause_waiting(): does a thread wait for a bad page? */
bool fixed_ram_mapped_pause_waiting(void);

/** fixed_ram_mapped_pause_take_replaced(): see engine/repair.h */
GArray *fixed_ram_mapped_pause_take_replaced(void);

/**
 * fixed_ram_mapped_pause_begin(): a recovery begins
 *
 * Fails if nothing is paused, or if another recovery is under way.  The caller
 * calls fixed_ram_mapped_pause_recover() afterwards.  Any thread.
 */
bool fixed_ram_mapped_pause_begin(Error **errp);

/**
 * fixed_ram_mapped_pause_recover(): go on with @s, if it is a copy
 *
 * @s: the file that was opened for the recovery, perhaps the same one again;
 *     NULL: that has failed
 * @err: why it has failed; taken
 *
 * Does not wait for pages.  Any thread.
 */
void fixed_ram_mapped_pause_recover(FixedRamSnapshot *s, Error *err);

/**
 * fixed_ram_mapped_pause_shutdown(): QEMU is about to end
 *
 * If a thread waits for a page the process ends here, after the guest's disks
 * have been flushed.  Main thread.
 */
void fixed_ram_mapped_pause_shutdown(void);

#endif
