/*
 * fixed-ram: the index's section about the working set
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_INDEX_SET_H
#define MIGRATION_FIXED_RAM_FORMAT_INDEX_SET_H

#include "index-types.h"
#include "sums.h"

/* What one checksum of the packed copy is of. */
#define FIXED_RAM_PACK_CHUNK_BYTES  FIXED_RAM_CLUSTER_BYTES

/*
 * A wrong number in a file must not cost memory: with these limits a list has
 * at most 32 MiB.
 */
#define FIXED_RAM_SET_RUNS_MAX  (1u << 20)
#define FIXED_RAM_PACK_MAX      (128 * GiB)

/**
 * fixed_ram_index_set_read(): parse and check the section's fields
 *
 * @r: at the section's payload
 * @index: has its blocks and its table already; gets the set
 *
 * List and packed copy lie behind the stream, in the file, and apart from each
 * other, from the table and from the index.  They are not read.  The first
 * failure is @r->error.
 */
void fixed_ram_index_set_read(FixedRamReader *r, const FixedRamSuperblock *sb,
                              FixedRamIndex *index);

/** fixed_ram_index_set_encode(): the section's fields as they are stored */
void fixed_ram_index_set_encode(const FixedRamIndexSet *set, SetFields *out);

/** fixed_ram_index_set_list_bytes(): the length of the list in the file */
uint64_t fixed_ram_index_set_list_bytes(const FixedRamIndexSet *set);

#endif
