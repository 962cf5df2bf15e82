/*
 * fixed-ram: save what differs from another snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_OUTGOING_DELTA_H
#define MIGRATION_FIXED_RAM_OUTGOING_DELTA_H

#include "save/bulk.h"
#include "save/delta.h"

/*
 * The parameter fixed-ram-base asks for a delta.  The main thread opens the
 * base before the migration thread starts, and closes it after that thread has
 * ended.  In between the functions below are for the migration thread, unless
 * they say something else.
 */

/**
 * fixed_ram_outgoing_delta_open(): is the save going to be a delta?
 *
 * @fd: the file that is going to be written
 * @name: of it, for messages
 *
 * Opens the base if the user has named one.  Fails if the save cannot be a
 * delta, and says why; nothing was changed then.
 */
bool fixed_ram_outgoing_delta_open(int fd, const char *name, Error **errp);

/** fixed_ram_outgoing_delta_close(): close the base, if there is one */
void fixed_ram_outgoing_delta_close(void);

/** fixed_ram_outgoing_delta(): what the save is compared with, or NULL */
FixedRamDelta *fixed_ram_outgoing_delta(void);

/**
 * fixed_ram_outgoing_delta_keep(): leave out what is known to be in the base
 *
 * @mem: the memory of @rb
 * @todo: pages of @rb to save; those that need not be looked at are cleared
 * @kept: grows by them
 *
 * The RAM of a guest that was loaded in the mode "mapped" from the base is the
 * base, except for pages that were written to since.  And so are pages that a
 * load on demand from the base has yet to bring.
 */
bool fixed_ram_outgoing_delta_keep(RAMBlock *rb, const FixedRamMemory *mem,
                                   unsigned long *todo,
                                   FixedRamBulkProgress *kept, Error **errp);

/**
 * fixed_ram_outgoing_delta_written(): pages of @block are being written
 *
 * Not by savers.  Any thread of the migration.
 */
void fixed_ram_outgoing_delta_written(const RAMBlock *block, uint64_t offset,
                                      uint64_t length);

/* Writes pages of @block that follow each other, and records checksums. */
typedef bool FixedRamWriteFunc(RAMBlock *block, uint64_t offset, size_t length,
                               Error **errp);

/**
 * fixed_ram_outgoing_delta_complete(): the content of @block is final
 *
 * Writes each cluster whole of which some pages were written after a saver had
 * found it in the base.
 */
bool fixed_ram_outgoing_delta_complete(RAMBlock *block,
                                       FixedRamWriteFunc *write, Error **errp);

#endif
