/*
 * fixed-ram: the engine that loads pages from a source into memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_LOAD_H
#define MIGRATION_FIXED_RAM_ENGINE_LOAD_H

#include "map.h"
#include "state.h"
#include "types.h"
#include "../format/source.h"

/*
 * Eager: loaders read straight into memory that no other thread uses yet.
 *
 * On demand: all blocks are registered with userfaultfd and empty.  Fault
 * threads load the pages for which threads wait, loaders load the rest.  Each
 * page is read into a worker's own buffer and placed whole.
 *
 * The engine knows neither guests nor QEMU's locks.  It calls notify() of its
 * user when something has changed, and the user then asks what it was, by the
 * functions of state.h whose names begin with fixed_ram_load_.
 */

/**
 * fixed_ram_load_new(): set up a load; no thread runs yet
 *
 * @map: remains the caller's, and must exist until fixed_ram_load_free()
 * @source: belongs to the load from now on, also on failure
 */
FixedRamLoad *fixed_ram_load_new(FixedRamMap *map, FixedRamSource *source,
                                 const FixedRamLoadConfig *config,
                                 Error **errp);

/**
 * fixed_ram_load_register(): on demand, have missing pages fault
 *
 * Between this and fixed_ram_load_start() the caller empties all blocks, and
 * must not touch them otherwise.
 */
bool fixed_ram_load_register(FixedRamLoad *load, Error **errp);

/**
 * fixed_ram_load_start(): start fault threads and loaders
 *
 * The host may refuse some threads.  This fails if it refuses all fault threads
 * or all loaders; then the load can only be freed.
 */
bool fixed_ram_load_start(FixedRamLoad *load, Error **errp);

/**
 * fixed_ram_load_recover(): go on after a stall
 *
 * @source: is read from now on; it belongs to the load on success
 *
 * This does not wait for reads that are still under way, which may hang, nor
 * will fixed_ram_load_end() wait for them.  It fails, and the load remains
 * stalled, if there is no memory or no thread to replace theirs.
 *
 * Any thread.  The caller makes sure that no other thread recovers the load,
 * gives up pages of it, or ends it at the same time.
 */
bool fixed_ram_load_recover(FixedRamLoad *load, FixedRamSource *source,
                            Error **errp);

/**
 * fixed_ram_load_give_up(): do without the unit at @offset of the block @name
 *
 * @offset: bytes from the block's start, rounded down to a unit
 *
 * A thread that touches the unit gets SIGBUS from now on, or EFAULT in a system
 * call.  With checksums all units of the cluster are given up that have not
 * been received.
 *
 * Fails if the page has been received, if it is being read and the load is not
 * stalled, or if the kernel (Linux before 6.6) cannot do this.  Any thread,
 * with the same care as for fixed_ram_load_recover().
 */
bool fixed_ram_load_give_up(FixedRamLoad *load, const char *name,
                            uint64_t offset, Error **errp);

/**
 * fixed_ram_load_recorded(): pages that the record has so far; any thread
 */
uint64_t fixed_ram_load_recorded(FixedRamLoad *load);

/**
 * fixed_ram_load_end_record(): end the record that the configuration asked for
 *
 * Until then loaders claim nothing, and a fault brings no page but its own.
 *
 * Returns the set, which the caller frees; NULL if no record is being made.
 * Any thread.
 */
FixedRamWorkingSet *fixed_ram_load_end_record(FixedRamLoad *load);

/**
 * fixed_ram_load_full_effort(): have loaders work as hard as they can
 *
 * @on: false: leave room for faults again
 *
 * Any thread.
 */
void fixed_ram_load_full_effort(FixedRamLoad *load, bool on);

/**
 * fixed_ram_load_end(): end all threads
 *
 * Waits for reads under way, if they began after the last recovery.
 */
void fixed_ram_load_end(FixedRamLoad *load);

/**
 * fixed_ram_load_free(): end all threads, unregister the memory and free
 *
 * A thread that still waits for a page goes on with whatever the memory holds,
 * so the load must be complete, or its guest must never have run.
 */
void fixed_ram_load_free(FixedRamLoad *load);

/**
 * fixed_ram_load_stats(): what has been done so far
 *
 * The figures exist until fixed_ram_load_free().  Any thread.
 */
const FixedRamLoadStats *fixed_ram_load_stats(FixedRamLoad *load);

#endif
