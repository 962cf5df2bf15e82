/*
 * fixed-ram: the snapshot's metadata, from bytes to checked structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_RAMSECTION_H
#define MIGRATION_FIXED_RAM_FORMAT_RAMSECTION_H

#include "qemu/units.h"
#include "reader.h"

/*
 * The layout is mapped-ram's (docs/devel/migration/mapped-ram.rst): a
 * migration stream whose RAM section holds, for each block,
 *
 *   u8 length of the name, the name, be64 bytes of the block,
 *   be32 version 1, be64 page size, be64 where the bitmap is,
 *   be64 where the pages are, the bitmap, padding, the pages
 *
 * with offsets from the start of the file.  The bitmap is an array of
 * little-endian 64-bit words, a bit a page.
 */

/* Of any target; flags of RAM's section are in the bits below a page. */
#define FIXED_RAM_PAGE_SIZE_MIN     KiB
#define FIXED_RAM_PAGE_SIZE_MAX     (64 * KiB)

typedef struct FixedRamBlockInfo {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t header_offset;     /* where the name begins */
    uint64_t length;            /* bytes of RAM */
    uint64_t bitmap_offset;
    uint64_t pages_offset;
} FixedRamBlockInfo;

typedef struct FixedRamSnapshot {
    uint64_t start;             /* where the stream begins in the file */
    uint64_t page_size;         /* bytes in a page of the target */
    uint64_t ram_end;           /* where the stream goes on after RAM */
    GArray *blocks;             /* of FixedRamBlockInfo, in file order */
} FixedRamSnapshot;

/** fixed_ram_bitmap_bytes(): what a block's bitmap takes in the file */
static inline uint64_t fixed_ram_bitmap_bytes(uint64_t length,
                                              uint64_t page_size)
{
    return DIV_ROUND_UP(length / page_size, 64) * sizeof(uint64_t);
}

/**
 * fixed_ram_format_read(): read and check a snapshot's metadata
 *
 * @start: where the stream begins in @source
 * @page_size: the target's page size in bytes
 *
 * Nothing read here is trusted.  The error names file, block and offset.
 * Returns NULL on failure; end it with fixed_ram_snapshot_free().
 */
FixedRamSnapshot *fixed_ram_format_read(FixedRamSource *source,
                                        uint64_t start, uint64_t page_size,
                                        Error **errp);

/**
 * fixed_ram_format_read_first(): the first block's header alone
 *
 * It says how large pages are, and where the superblock is.  That must be
 * known, too, of files whose other headers, or pages, are not there.
 *
 * The snapshot that is returned has one block, which is checked, but for where
 * the file ends.  NULL on failure.
 */
FixedRamSnapshot *fixed_ram_format_read_first(FixedRamSource *source,
                                              uint64_t start, Error **errp);

/** fixed_ram_snapshot_free(): free @snapshot; NULL is fine. */
void fixed_ram_snapshot_free(FixedRamSnapshot *snapshot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamSnapshot, fixed_ram_snapshot_free)

/** fixed_ram_snapshot_block(): block number @i, of snapshot->blocks->len. */
static inline FixedRamBlockInfo *
fixed_ram_snapshot_block(const FixedRamSnapshot *snapshot, size_t i)
{
    return &g_array_index(snapshot->blocks, FixedRamBlockInfo, i);
}

/**
 * fixed_ram_snapshot_find(): the block called @name, or NULL
 */
FixedRamBlockInfo *
fixed_ram_snapshot_find(const FixedRamSnapshot *snapshot, const char *name);

/**
 * fixed_ram_format_read_bitmap(): read and check a block's bitmap
 *
 * Returns a bitmap to be freed by g_free(), a bit a page, or NULL.
 */
unsigned long *fixed_ram_format_read_bitmap(FixedRamSource *source,
                                            const FixedRamSnapshot *snapshot,
                                            const FixedRamBlockInfo *info,
                                            Error **errp);

#endif
