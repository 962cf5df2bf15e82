/*
 * fixed-ram: the index, which says what a snapshot holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_INDEX_H
#define MIGRATION_FIXED_RAM_FORMAT_INDEX_H

#include "ramsection.h"
#include "superblock.h"

/*
 * Sections of type, flags and length behind the stream's end, found through
 * the superblock; documented in docs/interop/fixed-ram.rst.
 */

/* What machine was saved.  Strings are never NULL. */
typedef struct FixedRamIndexMachine {
    char *type;                 /* pc-i440fx-10.0 */
    char *version;              /* of QEMU: 10.0.2 */
    char *name;                 /* of the VM, may be empty */
    uint8_t uuid[16];           /* of the VM, zero: none */
    uint64_t time;              /* when it was saved: seconds since 1970, UTC */
    uint64_t ram_bytes;         /* the machine's RAM, as -m has it */
} FixedRamIndexMachine;

typedef struct FixedRamIndexBlock {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint64_t length;            /* these as in the stream's header */
    uint64_t page_size;
    uint64_t bitmap_offset;
    uint64_t pages_offset;
    uint64_t pages;             /* how many are not zero: bits set */
    uint64_t bitmap_sum;        /* with sums only */
    uint64_t first_cluster;     /* number of its first sum in the table */
} FixedRamIndexBlock;

/* A part of the stream. */
typedef struct FixedRamIndexPart {
    uint64_t offset;
    uint64_t length;
    uint64_t sum;               /* with sums only */
} FixedRamIndexPart;

/*
 * The table of the clusters' sums: little-endian words, block after block in
 * the index's order.  Each chunk of it has a sum in the index, so that one can
 * be read and trusted without the others.
 */
#define FIXED_RAM_CHUNK_BYTES   4096

typedef struct FixedRamIndexTable {
    uint64_t offset;            /* in the file */
    uint64_t length;            /* bytes */
    GArray *chunk_sums;         /* of uint64_t */
} FixedRamIndexTable;

typedef struct FixedRamIndex {
    uint8_t id[FIXED_RAM_ID_BYTES];
    bool has_machine;
    FixedRamIndexMachine machine;
    GArray *blocks;             /* of FixedRamIndexBlock, as in the stream */
    FixedRamIndexPart head;     /* from the start to the first bitmap */
    FixedRamIndexPart tail;     /* from the last page to the stream's end */
    bool has_sums;              /* else the content cannot be verified */
    FixedRamIndexTable table;
} FixedRamIndex;

/** fixed_ram_index_new(): an empty index; end it with fixed_ram_index_free() */
FixedRamIndex *fixed_ram_index_new(void);
void fixed_ram_index_free(FixedRamIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamIndex, fixed_ram_index_free)

/** fixed_ram_index_block(): block number @i, of index->blocks->len. */
static inline FixedRamIndexBlock *
fixed_ram_index_block(const FixedRamIndex *index, size_t i)
{
    return &g_array_index(index->blocks, FixedRamIndexBlock, i);
}

/** fixed_ram_index_encode(): the bytes of @index, to be freed by the caller */
GByteArray *fixed_ram_index_encode(const FixedRamIndex *index);

/**
 * fixed_ram_index_read(): read and check the index
 *
 * @sb: a complete snapshot's
 *
 * Checked are the bytes against the superblock's sum, every field, that blocks
 * and parts are those of the stream, and that the table lies in the file.
 * Neither the table nor what the sums are of is read.  Unknown sections are
 * skipped if they may be, an error otherwise.  Nothing is trusted; the error
 * names file, offset and block.  Returns NULL on failure.
 */
FixedRamIndex *fixed_ram_index_read(FixedRamSource *source,
                                    const FixedRamSnapshot *snapshot,
                                    const FixedRamSuperblock *sb,
                                    Error **errp);

/**
 * fixed_ram_index_verify_stream(): does the stream hold what was saved?
 *
 * Reads head, tail and all bitmaps and compares their sums.  True, too, where
 * there are no sums, in the index or in this build.
 */
bool fixed_ram_index_verify_stream(const FixedRamIndex *index,
                                   FixedRamSource *source, Error **errp);

#endif
