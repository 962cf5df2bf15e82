/*
 * fixed-ram: the superblock, which says that a snapshot is complete
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SUPERBLOCK_H
#define MIGRATION_FIXED_RAM_FORMAT_SUPERBLOCK_H

#include "ramsection.h"

/*
 * It has the last 4 KiB before the pages of the snapshot's first block, a
 * place that mapped-ram's readers skip.  The format is documented in
 * docs/interop/fixed-ram.rst.
 *
 * A save writes it twice: before the first page, to say that the snapshot is
 * being written, and when everything else is on disk.
 */
#define FIXED_RAM_SUPERBLOCK_BYTES      4096
#define FIXED_RAM_ID_BYTES              16

typedef enum FixedRamCompleteness {
    FIXED_RAM_PLAIN,            /* no superblock: mapped-ram, as stock has it */
    FIXED_RAM_BEING_WRITTEN,    /* or the save was cut off */
    FIXED_RAM_COMPLETE,
} FixedRamCompleteness;

typedef struct FixedRamSuperblock {
    FixedRamCompleteness state;         /* of the snapshot */
    uint8_t id[FIXED_RAM_ID_BYTES];     /* new with each save */
    uint64_t start;                     /* where the stream begins */
    /* Zero while the snapshot is being written. */
    uint64_t stream_end;                /* where it ends */
    uint64_t index_offset;
    uint64_t index_length;              /* bytes */
    uint32_t index_crc;                 /* CRC-32C */
} FixedRamSuperblock;

/** fixed_ram_superblock_offset(): its place, given the first block's pages */
static inline uint64_t fixed_ram_superblock_offset(uint64_t pages_offset)
{
    return pages_offset - FIXED_RAM_SUPERBLOCK_BYTES;
}

/** fixed_ram_superblock_encode(): the bytes of @sb, not for FIXED_RAM_PLAIN */
void fixed_ram_superblock_encode(const FixedRamSuperblock *sb,
                                 uint8_t out[FIXED_RAM_SUPERBLOCK_BYTES]);

/**
 * fixed_ram_superblock_read(): what a snapshot says of itself
 *
 * Where there is no room for a superblock or only zeros, @sb->state is
 * FIXED_RAM_PLAIN and all else is zero.  Anything else that is no superblock
 * is an error, and so is one of a stream that begins elsewhere.  An index
 * beyond the file's end is, too.
 */
bool fixed_ram_superblock_read(FixedRamSource *source,
                               const FixedRamSnapshot *snapshot,
                               FixedRamSuperblock *sb, Error **errp);

/**
 * fixed_ram_superblock_incomplete(): what to say of FIXED_RAM_BEING_WRITTEN
 */
void fixed_ram_superblock_incomplete(const FixedRamSource *source,
                                     Error **errp);

#endif
