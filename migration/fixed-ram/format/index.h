/*
 * fixed-ram: the index, which says what a snapshot holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_INDEX_H
#define MIGRATION_FIXED_RAM_FORMAT_INDEX_H

#include "index-types.h"

/*
 * The index lies behind the stream's end; the superblock says where.  It
 * consists of sections, each with type, flags and length.  The format is
 * documented in docs/interop/fixed-ram.rst.
 */

/** fixed_ram_index_new(): an empty index; the caller frees it */
FixedRamIndex *fixed_ram_index_new(void);

/** fixed_ram_index_free(): free @index; NULL is fine */
void fixed_ram_index_free(FixedRamIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamIndex, fixed_ram_index_free)

/**
 * fixed_ram_index_choose_key(): the key for the table of a new snapshot
 *
 * @index: has its identity, from which the key comes
 * @base: of a delta: the key is the one of this; NULL: the snapshot is full
 */
void fixed_ram_index_choose_key(FixedRamIndex *index,
                                const FixedRamIndex *base);

/** fixed_ram_index_encode(): the bytes of @index, to be freed by the caller */
GByteArray *fixed_ram_index_encode(const FixedRamIndex *index);

/**
 * fixed_ram_index_digest(): a checksum of what @index says about RAM
 *
 * It covers the blocks, and with their checksums all content of the guest's
 * memory.  It does not change if a working set is added.
 */
uint64_t fixed_ram_index_digest(const FixedRamIndex *index);

/**
 * fixed_ram_index_read(): read and check the index
 *
 * @ram: the stream's section of RAM
 * @sb: the superblock of a complete snapshot
 * @verdict: set on failure, unless it is NULL
 *
 * Checks the CRC, every field, that blocks and parts are those of the stream,
 * and that the table of sums lies in the file.  Does not read the table nor the
 * bytes that sums are of.  Unknown sections are skipped unless they say that
 * they are required.  Nothing is trusted; the error names file, offset and
 * block.  Returns NULL on failure; the caller frees the result.
 */
FixedRamIndex *fixed_ram_index_read(FixedRamSource *source,
                                    const FixedRamRamSection *ram,
                                    const FixedRamSuperblock *sb,
                                    FixedRamVerdict *verdict, Error **errp);

/**
 * fixed_ram_index_verify_stream(): is the stream, without pages, as saved?
 *
 * Reads head, tail and all bitmaps and compares their sums with the index.
 * Returns true as well if there are no sums, in the index or in this build.
 */
bool fixed_ram_index_verify_stream(const FixedRamIndex *index,
                                   FixedRamSource *source, Error **errp);

#endif
