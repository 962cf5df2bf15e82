/*
 * fixed-ram: the page map, who reads which page and what is there already
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_MAP_H
#define MIGRATION_FIXED_RAM_ENGINE_MAP_H

#include "qemu/bitmap.h"
#include "qemu/units.h"
#include "../format/reader.h"

/*
 * The map knows three sizes.  A *page* is the target's page, the unit of the
 * snapshot's bitmap.  A *unit* is what is claimed and placed at once: the
 * host page of the block's memory where userfaultfd is used, else a page.
 * A unit is one page or several.  An *extent* is what a loader takes in one
 * go: aligned units that make up a huge page of the host.
 *
 * Each unit is in one of three states:
 *
 *   pending  received   state
 *   -------  --------   -------------------------------------------------
 *      1        0       missing: nobody reads it
 *      0        0       claimed: one thread reads it and will place it
 *      0        1       received: placed, or zero from the start
 *
 * missing -> claimed is one atomic fetch-and on a word of 64 units, so each
 * unit has one owner; claimed -> received or claimed -> missing (the reader
 * failed) is the owner's alone.  No lock is taken anywhere.
 */

/* An extent: as many bytes, but no more units than fit into so many words. */
#define FIXED_RAM_EXTENT_BYTES  (2 * MiB)
#define FIXED_RAM_EXTENT_WORDS  8

typedef struct FixedRamBlock {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint8_t *host;              /* where the block's memory is mapped */
    uint64_t length;            /* bytes, a multiple of @unit */
    uint64_t pages_offset;      /* where its first byte is in the file */
    uint64_t page_size;         /* bytes in a page */
    uint64_t unit;              /* bytes in a unit, at least @page_size */
    unsigned long *data;        /* a bit a page: the file holds it */
    uint64_t first_cluster;     /* number of its first checksum, see sums.h */
    bool huge;                  /* the host may back an extent by one page */

    /* Filled in by fixed_ram_map_add() */
    uint64_t units;             /* number of units */
    uint64_t extent_units;      /* units of an extent; a power of two */
    size_t extents;             /* number of extents, the last may be short */
    size_t first_extent;        /* number of its first extent in the map */
    unsigned long *whole;       /* a bit an extent: placed as one; atomic */
    unsigned long *pending;     /* a bit a unit; atomic */
    unsigned long *received;    /* a bit a unit; atomic */
} FixedRamBlock;

typedef struct FixedRamMap {
    GPtrArray *blocks;          /* of FixedRamBlock */
    size_t extents;             /* of all blocks */
    size_t cursor;              /* next extent for a loader; atomic */
    uint64_t total;             /* bytes of RAM */
    uint64_t wanted;            /* bytes of the units that hold data */
    uint64_t left;              /* of these, bytes not received; atomic */
} FixedRamMap;

/* Units of one extent of one block that one thread has claimed. */
typedef struct FixedRamClaim {
    FixedRamBlock *block;
    size_t extent;              /* number of the extent in its block */
    size_t word;                /* the extent's first word in the bitmaps */
    unsigned long mask[FIXED_RAM_EXTENT_WORDS];
} FixedRamClaim;

/* A range of a block, in bytes from its start. */
typedef struct FixedRamRun {
    uint64_t offset;
    uint64_t length;
} FixedRamRun;

/* The extent that a loader is at; start with all zero. */
typedef struct FixedRamCursor {
    bool valid;
    size_t extent;              /* number of the extent in the map */
} FixedRamCursor;

/** fixed_ram_map_new(): an empty map; end it with fixed_ram_map_free(). */
FixedRamMap *fixed_ram_map_new(void);

/** fixed_ram_map_free(): free @map and its blocks, but not their memory. */
void fixed_ram_map_free(FixedRamMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamMap, fixed_ram_map_free)

/**
 * fixed_ram_map_add(): add a block before any thread uses the map
 *
 * @block: everything above "filled in" is set; the map owns it from now on,
 *         its @data bitmap (from g_malloc) too
 *
 * Units that hold data begin as missing, all others as received.
 */
void fixed_ram_map_add(FixedRamMap *map, FixedRamBlock *block);

/** fixed_ram_map_block(): block number @i, of map->blocks->len. */
static inline FixedRamBlock *fixed_ram_map_block(const FixedRamMap *map,
                                                 size_t i)
{
    return g_ptr_array_index(map->blocks, i);
}

/**
 * fixed_ram_map_find(): the block whose memory holds @addr
 *
 * Returns NULL if there is none.  Any thread.
 */
FixedRamBlock *fixed_ram_map_find(const FixedRamMap *map, uintptr_t addr);

/** fixed_ram_map_received(): is unit number @unit in place?  Any thread. */
bool fixed_ram_map_received(const FixedRamBlock *block, uint64_t unit);

/**
 * fixed_ram_map_was_claimed(): does @unit hold data that somebody has taken up?
 *
 * False beyond the block's ends.  Any thread.
 */
bool fixed_ram_map_was_claimed(const FixedRamBlock *block, uint64_t unit);

/** fixed_ram_map_extent(): number in the map of the extent @unit lies in. */
size_t fixed_ram_map_extent(const FixedRamBlock *block, uint64_t unit);

/**
 * fixed_ram_map_claim_around(): claim a unit, and missing ones beside it
 *
 * @span: how many units to take at most, a power of two up to 64: the group
 *        of @span aligned units in which @unit lies
 *
 * Returns false, and claims nothing, if @unit is not missing.  Any thread.
 */
bool fixed_ram_map_claim_around(FixedRamBlock *block, uint64_t unit,
                                unsigned span, FixedRamClaim *claim);

/**
 * fixed_ram_map_claim_in(): claim some of what is missing of extent @extent
 * of the map
 *
 * All of it if a huge page could still back the extent.  Else no more than a
 * word: somebody is about, who would have to wait for all that is taken.
 *
 * Returns false if nothing is missing.  Any thread.
 */
bool fixed_ram_map_claim_in(FixedRamMap *map, size_t extent,
                            FixedRamClaim *claim);

/**
 * fixed_ram_map_claim_next(): the same for what comes next in the file
 *
 * @cursor: the calling thread's own
 *
 * Returns false when every extent has been visited since the start or the
 * last fixed_ram_map_rewind().  Any thread.
 */
bool fixed_ram_map_claim_next(FixedRamMap *map, FixedRamCursor *cursor,
                              FixedRamClaim *claim);

/** fixed_ram_map_return(): give all of @claim back: it is missing. */
void fixed_ram_map_return(const FixedRamClaim *claim);

/**
 * fixed_ram_map_receive(): the units at @run, claimed before, are in place
 *
 * Returns true if nothing is left: one call on a map does so.
 */
bool fixed_ram_map_receive(FixedRamMap *map, FixedRamBlock *block,
                           const FixedRamRun *run);

/** fixed_ram_map_rewind(): let loaders look at every extent once more. */
void fixed_ram_map_rewind(FixedRamMap *map);

/** fixed_ram_map_left(): bytes that have not been received.  Any thread. */
uint64_t fixed_ram_map_left(const FixedRamMap *map);

/**
 * fixed_ram_map_set_whole(): the extent of @claim was placed as one huge page
 */
void fixed_ram_map_set_whole(const FixedRamClaim *claim);

/**
 * fixed_ram_map_split_extents(): extents of a loaded map that small pages
 * back, and that one huge page should
 *
 * Returns their host addresses; the array is the caller's.
 */
GPtrArray *fixed_ram_map_split_extents(const FixedRamMap *map);

/** fixed_ram_claim_extent(): where the extent lies that @claim is part of. */
FixedRamRun fixed_ram_claim_extent(const FixedRamClaim *claim);

/** fixed_ram_claim_bytes(): bytes in the units of @claim. */
uint64_t fixed_ram_claim_bytes(const FixedRamClaim *claim);

/** fixed_ram_claim_has(): is the byte at @offset of the block part of it? */
bool fixed_ram_claim_has(const FixedRamClaim *claim, uint64_t offset);

/**
 * fixed_ram_claim_is_whole(): is it worth a huge page?
 *
 * It is if the block may have some, @claim holds all data of the extent, and
 * no less than half of the extent is data.
 */
bool fixed_ram_claim_is_whole(const FixedRamClaim *claim);

/**
 * fixed_ram_claim_next(): the next run of units of @claim, from @pos on
 *
 * @gap: bytes of units of others that may lie between two units of a run
 *
 * Returns false if there is none.
 */
bool fixed_ram_claim_next(const FixedRamClaim *claim, uint64_t pos,
                          uint64_t gap, FixedRamRun *run);

/** fixed_ram_claim_drop(): @run is the claim's no more. */
void fixed_ram_claim_drop(FixedRamClaim *claim, const FixedRamRun *run);

/**
 * fixed_ram_block_next_data(): the next pages in [@pos, @end) that hold data
 *
 * @gap: bytes of zero pages that may lie between two pages of a run
 *
 * Returns false if there are none.  All in bytes from the block's start.
 */
bool fixed_ram_block_next_data(const FixedRamBlock *block, uint64_t pos,
                               uint64_t end, uint64_t gap, FixedRamRun *run);

#endif
