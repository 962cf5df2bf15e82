/*
 * fixed-ram: the superblock, which says that a snapshot is complete
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_SUPERBLOCK_H
#define MIGRATION_FIXED_RAM_FORMAT_SUPERBLOCK_H

#include "layout.h"
#include "ramsection.h"

/*
 * The superblock lies in the last 4 KiB before the pages of the snapshot's
 * first block, which mapped-ram's readers skip as padding.  The format is
 * documented in docs/interop/fixed-ram.rst.
 *
 * A save writes it twice: before the first page, to say that the snapshot is
 * being written, and when everything else is on disk.
 */

typedef enum FixedRamCompleteness {
    FIXED_RAM_PLAIN,            /* no superblock: stock's mapped-ram */
    FIXED_RAM_BEING_WRITTEN,    /* a saver writes it, or its save was cut off */
    FIXED_RAM_COMPLETE,
} FixedRamCompleteness;

typedef struct FixedRamSuperblock {
    FixedRamCompleteness state;         /* of the snapshot */
    uint8_t id[FIXED_RAM_ID_BYTES];     /* new with each save */
    uint64_t start;                     /* file offset of the stream's start */
    /* Zero while the snapshot is being written. */
    uint64_t stream_end;                /* file offset behind the stream */
    uint64_t index_offset;              /* in the file */
    uint64_t index_length;              /* bytes */
    uint32_t index_crc;                 /* CRC-32C */
} FixedRamSuperblock;

/** fixed_ram_superblock_offset(): its offset, given the first block's pages */
static inline uint64_t fixed_ram_superblock_offset(uint64_t pages_offset)
{
    return pages_offset - FIXED_RAM_SUPERBLOCK_BYTES;
}

/** fixed_ram_superblock_encode(): the bytes of @sb, not for FIXED_RAM_PLAIN */
void fixed_ram_superblock_encode(const FixedRamSuperblock *sb,
                                 uint8_t out[FIXED_RAM_SUPERBLOCK_BYTES]);

/**
 * fixed_ram_superblock_read(): parse and check the superblock
 *
 * @r: anywhere
 * @ram: of the same stream; its first block says where the superblock lies
 *
 * If there is no space for a superblock, or it is all zeros, @sb->state is
 * FIXED_RAM_PLAIN and everything else in @sb is zero.  Any other bytes that are
 * no valid superblock of this stream are a failure, and so is an index that
 * reaches beyond the file's end.
 *
 * Returns false on failure, with the reason in @r->error.
 */
bool fixed_ram_superblock_read(FixedRamReader *r,
                               const FixedRamRamSection *ram,
                               FixedRamSuperblock *sb);

#endif
