/*
 * fixed-ram: save the RAM of a stopped guest in bulk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_BULK_H
#define MIGRATION_FIXED_RAM_OUTGOING_BULK_H

#include "exec/cpu-common.h"
#include "save/live.h"
#include "save/metadata.h"

/** fixed_ram_outgoing_memory(): what savers have to know of a block's memory */
FixedRamMemory fixed_ram_outgoing_memory(RAMBlock *rb);

/**
 * fixed_ram_outgoing_bulk_prepare(): plan a bulk save from the first page on
 *
 * @file: its descriptor and name must stay until fixed_ram_outgoing_bulk_end()
 * @live: the memory, which will be frozen at the first page; must stay, too;
 *        NULL: the guest should be stopped at the first page
 *
 * The migration thread calls this when all blocks have their places in the file
 * and no page is saved.  If the guest runs at the first page and @live is NULL,
 * there is no bulk save.
 */
void fixed_ram_outgoing_bulk_prepare(const FixedRamMetadata *file,
                                     FixedRamLive *live);

/**
 * fixed_ram_outgoing_bulk_data_pages(): pages that savers have written
 *
 * Each of them once, with its bit set in the file's bitmap.  Zero if there was
 * no bulk save or it has not ended well.  The migration thread.
 */
uint64_t fixed_ram_outgoing_bulk_data_pages(void);

#endif
