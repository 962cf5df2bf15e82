/*
 * fixed-ram: the memory of a block that is a private mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_MAPPED_BLOCK_H
#define MIGRATION_FIXED_RAM_ENGINE_MAPPED_BLOCK_H

#include "map.h"
#include "types.h"
#include "../format/source.h"

/* What the engine knows of a mapping; see mapping.h. */
typedef struct FixedRamMappedBlock {
    char *name;
    uint64_t length;            /* bytes */
    uint64_t pages_offset;      /* in the file */
    GArray *covers;             /* of FixedRamRun */
    /* Set when it is mapped. */
    uint8_t *host;              /* NULL: not mapped, or unplugged since */
    bool reserve;
    FixedRamMappingAdvice advice;
    void *policy;               /* a page with the memory's NUMA policy */
    /*
     * A bit a page of the host: it was discarded or replaced, so it may not be
     * the file's any more.  NULL: no page was.
     */
    unsigned long *replaced;
    unsigned pieces;            /* mapped again since the whole block was */
} FixedRamMappedBlock;

struct FixedRamMapping {
    FixedRamSource *source;
    size_t count;
    FixedRamMappedBlock *blocks;    /* as in the map */
};

/**
 * fixed_ram_mapped_block_map_pages(): replace memory of the block by its pages
 *
 * @source: has the pages, perhaps in several files
 * @from, @to: bytes in the block
 *
 * Returns 0 or a negative errno.
 */
int fixed_ram_mapped_block_map_pages(const FixedRamMappedBlock *block,
                                     FixedRamSource *source, uint64_t from,
                                     uint64_t to);

/**
 * fixed_ram_mapped_block_map(): map all of it, with its planned covers
 *
 * Returns 0 or a negative errno.
 */
int fixed_ram_mapped_block_map(const FixedRamMappedBlock *block,
                               FixedRamSource *source);

/**
 * fixed_ram_mapped_block_cover(): make a cover of memory at @at
 *
 * Returns 0 or a negative errno.
 */
int fixed_ram_mapped_block_cover(const FixedRamMappedBlock *block,
                                 uint8_t *at, uint64_t length);

/**
 * fixed_ram_mapped_block_advise(): repeat what the memory at @at was advised
 *
 * Memory that was mapped again has lost it.
 */
void fixed_ram_mapped_block_advise(const FixedRamMappedBlock *block,
                                   uint8_t *at, uint64_t length);

/** fixed_ram_mapped_block_expect(): see fixed_ram_mapping_expect() */
void fixed_ram_mapped_block_expect(const FixedRamMappedBlock *block,
                                   bool in_order);

/** fixed_ram_mapped_block_keep_policy(): note the NUMA policy of its memory */
void fixed_ram_mapped_block_keep_policy(FixedRamMappedBlock *block);

/** fixed_ram_mapped_block_drop_policy(): forget the policy */
void fixed_ram_mapped_block_drop_policy(FixedRamMappedBlock *block);

#endif
