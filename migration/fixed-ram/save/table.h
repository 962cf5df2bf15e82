/*
 * fixed-ram: write the table of checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_TABLE_H
#define MIGRATION_FIXED_RAM_SAVE_TABLE_H

#include "../format/index.h"

/**
 * fixed_ram_table_write(): write the checksums of all clusters
 *
 * @fd: the file; from @offset on it has zeros or ends
 * @name: the file, for messages
 * @index: its blocks and its table are filled in
 * @sums: closed FixedRamPageSums, in the order of the index's blocks
 * @offset: in the file, a multiple of a chunk's length
 *
 * Chunks of the table without any checksum are left as they are: holes.
 */
bool fixed_ram_table_write(int fd, const char *name, FixedRamIndex *index,
                           const GPtrArray *sums, uint64_t offset,
                           Error **errp);

#endif
