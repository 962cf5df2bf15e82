/*
 * fixed-ram: guest RAM that is a private mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_MAPPED_H
#define MIGRATION_FIXED_RAM_MAPPED_H

#include "engine/mapping.h"
#include "format/snapshot.h"
#include "format/sumtable.h"
#include "format/working-set.h"

/*
 * The load is over when the blocks are mapped; the mapping stays until QEMU
 * ends, and with it the lock on the file.
 *
 * The main thread calls all of this under the BQL, except where it says so.
 */

/**
 * fixed_ram_mapped_check(): can all of this machine's RAM be a mapping?
 *
 * The error names the block or the device that is in the way.
 */
bool fixed_ram_mapped_check(Error **errp);

/**
 * fixed_ram_mapped_plan(): find out how @s will be mapped
 *
 * @map: the blocks, with their bitmaps
 *
 * Changes nothing.  Fails if the file could change, or cannot be mapped.  The
 * caller frees the result.
 */
FixedRamMapping *fixed_ram_mapped_plan(const FixedRamSnapshot *s,
                                       const FixedRamMap *map, Error **errp);

/**
 * fixed_ram_mapped_map(): replace the guest's RAM by the snapshot
 *
 * @s: belongs to QEMU from now on; its file stays open and locked
 * @map: knows where the blocks are; belongs to QEMU from now on, too
 * @sums: for pages that a copy gives later; NULL: they are not verified
 * @mapping: the plan; belongs to QEMU from now on
 * @set: pages that are read ahead; NULL: none.  Taken over, too.
 */
bool fixed_ram_mapped_map(FixedRamSnapshot *s, const FixedRamMap *map,
                          FixedRamSumTable *sums, FixedRamMapping *mapping,
                          FixedRamWorkingSet *set, Error **errp);

/**
 * fixed_ram_mapped_check_restore(): can RAM become again what was mapped?
 *
 * Fails if no RAM is mapped, if blocks have come, gone or changed their length
 * since, or if a thread or a device prevents it; the error names the block.
 */
bool fixed_ram_mapped_check_restore(Error **errp);

/**
 * fixed_ram_mapped_restore(): have RAM hold what the snapshot has
 *
 * The vCPUs are stopped, and devices do not use RAM.  If this fails a part of
 * RAM has been restored.
 */
bool fixed_ram_mapped_restore(Error **errp);

/** fixed_ram_mapped_verified(): does the kernel verify each page it reads? */
bool fixed_ram_mapped_verified(const FixedRamSnapshot *s);

/** fixed_ram_mapped_has(): is the memory at @host a mapping of a snapshot? */
bool fixed_ram_mapped_has(const void *host, size_t length);

/**
 * fixed_ram_mapped_written(): which memory may differ from @base?
 *
 * @host: of a block
 * @unit: bytes, whole pages of the host
 * @written: a bit for each @unit of the block, all clear; see written.h
 *
 * Returns false if the block is no mapping of that very file.  The migration
 * thread may call this, too.  No thread writes to the memory meanwhile.
 */
bool fixed_ram_mapped_written(const FixedRamSnapshot *base, const void *host,
                              uint64_t unit, unsigned long *written);

/** fixed_ram_mapped_discard(): see fixed_ram_discard() */
bool fixed_ram_mapped_discard(void *host, size_t length, int *ret);

#endif
