/*
 * fixed-ram: the guest's RAM blocks and the snapshot's
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_RAMBLOCKS_H
#define MIGRATION_FIXED_RAM_RAMBLOCKS_H

#include "engine/map.h"
#include "format/ramsection.h"

/* The main thread calls all of this under the BQL. */

/**
 * fixed_ram_ramblocks_match(): does @ram fit this guest's RAM?
 *
 * @name: the snapshot's file, for messages
 */
bool fixed_ram_ramblocks_match(const FixedRamRamSection *ram,
                            const char *name, Error **errp);

/**
 * fixed_ram_ramblocks_check_postcopiable(): can all blocks be loaded on
 * demand?
 *
 * Unlocks the guest's memory, see fixed_ram_ramblocks_relock().
 */
bool fixed_ram_ramblocks_check_postcopiable(Error **errp);

/**
 * fixed_ram_ramblocks_resize(): give resizable blocks the snapshot's length
 */
bool fixed_ram_ramblocks_resize(const FixedRamRamSection *ram, Error **errp);

/**
 * fixed_ram_ramblocks_map(): read all bitmaps and make the page map
 *
 * @on_demand: units are the blocks' host pages; else the target's pages
 *
 * Does not touch guest memory, and blocks may still have another length than in
 * the snapshot.  The caller frees the map.  The errors name file and offset.
 */
FixedRamMap *fixed_ram_ramblocks_map(const FixedRamRamSection *ram,
                                  FixedRamSource *source, bool on_demand,
                                  Error **errp);

/**
 * fixed_ram_ramblocks_check_room(): is there room for all of the data?
 *
 * @name: the snapshot's file, for messages
 *
 * Looks at the file systems of the backends' files.  Eager loads only: on
 * demand the load pauses where there is no room.
 */
bool fixed_ram_ramblocks_check_room(const FixedRamMap *map, const char *name,
                                    Error **errp);

/**
 * fixed_ram_ramblocks_attach(): tell @map where its blocks are in memory
 *
 * The blocks have the snapshot's lengths now.
 */
void fixed_ram_ramblocks_attach(FixedRamMap *map);

/**
 * fixed_ram_ramblocks_discard(): discard all memory of all blocks
 *
 * On demand only: a page that is present would never fault.
 */
bool fixed_ram_ramblocks_discard(Error **errp);

/**
 * fixed_ram_ramblocks_zero(): clear the pages that the snapshot says are zero
 *
 * Eager loads only.  Machine init may have written to them, and so may another
 * process that shares the backend's file.  Fails if the host has no memory for
 * them, or if read-only memory is not zero.
 */
bool fixed_ram_ramblocks_zero(const FixedRamMap *map, Error **errp);

/**
 * fixed_ram_ramblocks_changed(): memory of block @name has another content
 *
 * @offset, @length: in bytes
 *
 * Drops what TCG has translated there, and marks the pages dirty for displays
 * and for saves.  The vCPUs are stopped.
 */
void fixed_ram_ramblocks_changed(const char *name, uint64_t offset,
                                 uint64_t length);

/**
 * fixed_ram_ramblocks_relock(): lock guest memory again, if the user wants that
 *
 * postcopy_ram_supported_by_host() has unlocked it.
 */
void fixed_ram_ramblocks_relock(void);

#endif
