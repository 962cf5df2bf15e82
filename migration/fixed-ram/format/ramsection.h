/*
 * fixed-ram: the section of a stream that holds RAM at fixed offsets
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_RAMSECTION_H
#define MIGRATION_FIXED_RAM_FORMAT_RAMSECTION_H

#include "qemu/units.h"
#include "stream.h"

/*
 * The layout is mapped-ram's (docs/devel/migration/mapped-ram.rst): a
 * migration stream whose RAM section holds, for each block,
 *
 *   u8 length of the name, the name, be64 bytes of the block,
 *   be32 version 1, or 2 in a delta, be64 page size, be64 offset of the bitmap,
 *   be64 offset of the pages, the bitmap, padding, the pages
 *
 * with offsets from the start of the file.  The bitmap is an array of
 * little-endian 64-bit words, a bit a page.
 */

/* Of any target; flags of RAM's section are in the bits below a page. */
#define FIXED_RAM_PAGE_SIZE_MIN     KiB
#define FIXED_RAM_PAGE_SIZE_MAX     (64 * KiB)

/* More than any machine has; a wrong count must not cost memory. */
#define FIXED_RAM_BLOCKS_MAX        4096

typedef struct FixedRamBlockInfo {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t header_offset;     /* in the file, where the name begins */
    uint64_t length;            /* bytes of RAM */
    uint64_t bitmap_offset;     /* in the file */
    uint64_t pages_offset;      /* in the file */
} FixedRamBlockInfo;

typedef struct FixedRamRamSection {
    uint64_t start;             /* offset in the file where the stream begins */
    uint64_t page_size;         /* bytes in a page of the target */
    uint64_t ram_end;           /* offset in the file behind the last page */
    bool delta;                 /* some pages lie in other files: layers.h */
    GArray *blocks;             /* of FixedRamBlockInfo, in file order */
} FixedRamRamSection;

/** fixed_ram_ramsection_bitmap_bytes(): the length of a block's bitmap */
static inline uint64_t fixed_ram_ramsection_bitmap_bytes(uint64_t length,
                                                         uint64_t page_size)
{
    return DIV_ROUND_UP(length / page_size, 64) * sizeof(uint64_t);
}

/**
 * fixed_ram_ramsection_read(): parse and check the headers of all blocks
 *
 * @r: anywhere
 * @start: offset in the file where the stream begins
 * @head: the stream's head, which was read without a failure
 * @page_size: the target's page size in bytes
 *
 * Nothing read is trusted.  Returns NULL on failure; @r->error then names
 * file, block and offset.  The caller frees the result.
 */
FixedRamRamSection *fixed_ram_ramsection_read(FixedRamReader *r,
                                              uint64_t start,
                                              const FixedRamStreamHead *head,
                                              uint64_t page_size);

/**
 * fixed_ram_ramsection_read_first(): parse the first block's header alone
 *
 * The page size, and where the superblock lies, must be known as well of files
 * whose other headers or pages are missing.  The section that is returned has
 * one block, which was checked, but may reach beyond the file's end.
 */
FixedRamRamSection *
fixed_ram_ramsection_read_first(FixedRamReader *r, uint64_t start,
                                const FixedRamStreamHead *head);

/**
 * fixed_ram_ramsection_read_total(): parse the section's first word
 *
 * Returns how many bytes of RAM the headers that follow must come to.
 */
uint64_t fixed_ram_ramsection_read_total(FixedRamReader *r,
                                         uint64_t page_size);

/** fixed_ram_ramsection_new(): a section without blocks; the caller frees it */
FixedRamRamSection *fixed_ram_ramsection_new(uint64_t start,
                                             uint64_t page_size);

/** fixed_ram_ramsection_free(): free @ram; NULL is fine */
void fixed_ram_ramsection_free(FixedRamRamSection *ram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamRamSection, fixed_ram_ramsection_free)

/** fixed_ram_ramsection_block(): block number @i, of ram->blocks->len */
static inline FixedRamBlockInfo *
fixed_ram_ramsection_block(const FixedRamRamSection *ram, size_t i)
{
    return &g_array_index(ram->blocks, FixedRamBlockInfo, i);
}

/** fixed_ram_ramsection_index(): the number of block @name, or -1 */
ssize_t fixed_ram_ramsection_index(const FixedRamRamSection *ram,
                                   const char *name);

/** fixed_ram_ramsection_find(): the block called @name, or NULL */
FixedRamBlockInfo *fixed_ram_ramsection_find(const FixedRamRamSection *ram,
                                             const char *name);

/**
 * fixed_ram_ramsection_read_bitmap(): read and check a block's bitmap
 *
 * @parts: receives the parts of the bitmap, see util/sparse.h; may be NULL
 *
 * Returns a bitmap with a bit for each page, or NULL.  The caller frees both by
 * g_free().  Holes of the file are not read, and no memory is taken for parts
 * that are zero.  Any thread.
 */
unsigned long *
fixed_ram_ramsection_read_bitmap(const FixedRamRamSection *ram,
                                 FixedRamSource *source,
                                 const FixedRamBlockInfo *info,
                                 unsigned long **parts, Error **errp);

#endif
