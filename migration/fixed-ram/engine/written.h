/*
 * fixed-ram: guest memory that is mapped and has been written to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_WRITTEN_H
#define MIGRATION_FIXED_RAM_ENGINE_WRITTEN_H

#include "mapping.h"

/**
 * fixed_ram_mapping_written(): which memory may differ from the file?
 *
 * @host: of a block
 * @unit: bytes, whole pages of the host
 * @written: a bit for each @unit of the block, all clear; the bits are set of
 *           those that were written to, discarded or replaced
 *
 * Of the others every byte is the file's, and zero where the bit of the page is
 * clear.  The kernel says so: neither the memory nor the file is read.
 *
 * The caller is going to read the units whose bits are set.  Of units that were
 * written to in part the kernel begins to read the rest ahead, unless that is
 * much; if few bits are set it reads nothing else ahead from now on, until
 * fixed_ram_mapping_expect() is called.
 *
 * Returns false if no block at @host is mapped.
 *
 * Any thread, while no thread writes to the memory or changes the mapping.
 */
bool fixed_ram_mapping_written(const FixedRamMapping *mapping,
                               const void *host, uint64_t unit,
                               unsigned long *written);

#endif
