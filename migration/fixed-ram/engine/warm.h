/*
 * fixed-ram: have the pages of a working set mapped before the guest needs them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_WARM_H
#define MIGRATION_FIXED_RAM_ENGINE_WARM_H

#include "../format/source.h"
#include "../format/working-set.h"

/* A block of the guest's memory that is a mapping of the file. */
typedef struct FixedRamWarmBlock {
    uint8_t *host;
    uint64_t pages_offset;      /* in the file */
    uint64_t page_size;
} FixedRamWarmBlock;

typedef struct FixedRamWarm FixedRamWarm;

/**
 * fixed_ram_warm_start(): start a thread that maps the pages of @set
 *
 * @set: belongs to the thread from now on
 * @source: the mapped file; the thread takes a reference
 * @blocks: of FixedRamWarmBlock, by the numbers that @set has; the thread's
 *
 * The thread has the kernel read pages ahead, in the order of @set, and enters
 * them into the page table.  The guest need not wait for it.  Errors have no
 * effect: the guest meets them itself if it needs the page.
 *
 * Returns NULL if the host refuses a thread.  The caller ends the thread by
 * fixed_ram_warm_stop().
 */
FixedRamWarm *fixed_ram_warm_start(FixedRamWorkingSet *set,
                                   FixedRamSource *source, GArray *blocks);

/**
 * fixed_ram_warm_stop(): tell the thread to end
 *
 * Does not wait for it: a read may hang.  NULL is fine.
 */
void fixed_ram_warm_stop(FixedRamWarm *warm);

#endif
