/*
 * fixed-ram: what the index holds
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_INDEX_TYPES_H
#define MIGRATION_FIXED_RAM_FORMAT_INDEX_TYPES_H

#include "qapi/qapi-types-fixed-ram.h"
#include "ramsection.h"
#include "superblock.h"

/* The machine that was saved.  Strings are UTF-8 and never NULL. */
typedef struct FixedRamIndexMachine {
    char *type;                 /* pc-i440fx-10.0 */
    char *version;              /* of QEMU: 10.0.2 */
    char *name;                 /* of the VM, may be empty */
    uint8_t uuid[16];           /* of the VM, zero: none */
    uint64_t time;              /* of the save: seconds since 1970, UTC */
    uint64_t ram_bytes;         /* the machine's RAM, as -m has it */
} FixedRamIndexMachine;

typedef struct FixedRamIndexBlock {
    char name[FIXED_RAM_NAME_MAX + 1];
    /* The next four are those in the stream's header of the block. */
    uint64_t length;
    uint64_t page_size;
    uint64_t bitmap_offset;
    uint64_t pages_offset;
    uint64_t pages;             /* pages with data: bits set in the bitmap */
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
 * the index's order.  Each chunk of the table has a sum in the index, so that
 * a reader can read and trust one chunk without the others.
 */
#define FIXED_RAM_CHUNK_BYTES   4096

typedef struct FixedRamIndexTable {
    uint64_t offset;            /* in the file */
    uint64_t length;            /* bytes */
    GArray *chunk_sums;         /* of uint64_t */
    uint64_t key;               /* of the sums in the table, see sums.h */
} FixedRamIndexTable;

/*
 * The section WORKING_SET: where the list of the pages that the guest touches
 * first lies, and the packed copy of those pages.  working-set.h reads both.
 */
typedef struct FixedRamIndexSet {
    FixedRamWorkingSetKind kind;
    uint64_t time;              /* of the record: seconds since 1970, UTC */
    uint64_t pages;             /* pages in the set */
    uint64_t runs;              /* entries of the list */
    uint64_t list_offset;       /* in the file; a multiple of 8 */
    uint64_t list_sum;          /* of the list's bytes */
    uint64_t pack_offset;       /* in the file; 0: there is no packed copy */
    uint64_t pack_length;       /* bytes */
} FixedRamIndexSet;

/* An option that the machine was started with.  All strings are UTF-8. */
typedef struct FixedRamIndexOption {
    char *name;                 /* without the dash; empty: a disk image */
    char *argument;             /* NULL: it has none */
} FixedRamIndexOption;

/* The section OPTIONS; index-options.h has its functions. */
typedef struct FixedRamIndexOptions {
    char *program;              /* qemu-system-x86_64 */
    GPtrArray *list;            /* of FixedRamIndexOption, in their order */
    bool changed;               /* devices came or went after the start */
    bool left_out;              /* some options, or parts of them, are not in */
} FixedRamIndexOptions;

/* A range of the file that belongs to the snapshot; see space.h. */
typedef struct FixedRamIndexSpace {
    uint64_t offset;            /* in the file */
    uint64_t length;            /* bytes; 0: there is none */
} FixedRamIndexSpace;

/* A snapshot that a delta takes clusters from. */
typedef struct FixedRamIndexLayer {
    uint8_t id[FIXED_RAM_ID_BYTES];
    uint64_t digest;            /* see fixed_ram_index_digest() */
    uint64_t start;             /* file offset where its stream begins */
    char *path;                 /* absolute, or from the delta's folder on */
} FixedRamIndexLayer;

/* The section LAYERS; index-layers.h has its functions. */
typedef struct FixedRamIndexLayers {
    GPtrArray *list;            /* of FixedRamIndexLayer, not empty */
    uint64_t map_offset;        /* in the file */
    uint64_t map_length;        /* bytes: one for each cluster */
    uint64_t map_sum;           /* of the map's bytes */
} FixedRamIndexLayers;

typedef struct FixedRamIndex {
    uint8_t id[FIXED_RAM_ID_BYTES];
    bool has_machine;
    FixedRamIndexMachine machine;
    FixedRamIndexOptions *options;      /* NULL: not in the index */
    GArray *blocks;             /* of FixedRamIndexBlock, as in the stream */
    FixedRamIndexPart head;     /* from the start to the first bitmap */
    FixedRamIndexPart tail;     /* from the last page to the stream's end */
    bool has_sums;              /* else the content cannot be verified */
    FixedRamIndexTable table;
    FixedRamIndexLayers *layers;        /* of a delta; NULL: a full snapshot */
    bool has_set;
    FixedRamIndexSet set;
    Error *set_problem;         /* why the set is ignored; NULL: it is not */
    FixedRamIndexSpace space;
    bool clean;                 /* zero pages are zero in the file, too */
    bool has_unknown;           /* sections that may refer to other parts */
} FixedRamIndex;

/** fixed_ram_index_block(): block number @i, of index->blocks->len. */
static inline FixedRamIndexBlock *
fixed_ram_index_block(const FixedRamIndex *index, size_t i)
{
    return &g_array_index(index->blocks, FixedRamIndexBlock, i);
}

#endif
