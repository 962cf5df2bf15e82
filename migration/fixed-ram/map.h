/*
 * fixed-ram: the page map, who reads which page and what is there already
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_MAP_H
#define MIGRATION_FIXED_RAM_MAP_H

#include "qemu/bitmap.h"

/*
 * The map knows two sizes.  A *page* is the target's page, the unit of the
 * snapshot's bitmap.  A *unit* is what is claimed and placed at once: the
 * host page of the block's memory where userfaultfd is used, else a page.
 * A unit is one page or several.
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

#define FIXED_RAM_NAME_MAX 255

typedef struct FixedRamBlock {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint8_t *host;              /* where the block's memory is mapped */
    uint64_t length;            /* bytes, a multiple of @unit */
    uint64_t pages_offset;      /* where its first byte is in the file */
    uint64_t page_size;         /* bytes in a page */
    uint64_t unit;              /* bytes in a unit, at least @page_size */
    unsigned long *data;        /* a bit a page: the file holds it */

    /* Filled in by fixed_ram_map_add() */
    uint64_t units;             /* number of units */
    size_t first_word;          /* number of its first word in the map */
    unsigned long *pending;     /* a bit a unit; atomic */
    unsigned long *received;    /* a bit a unit; atomic */
} FixedRamBlock;

typedef struct FixedRamMap {
    GPtrArray *blocks;          /* of FixedRamBlock */
    size_t words;               /* words of all blocks */
    size_t cursor;              /* next word for a loader; atomic */
    uint64_t total;             /* bytes of RAM */
    uint64_t wanted;            /* bytes of the units that hold data */
    uint64_t left;              /* of these, bytes not received; atomic */
} FixedRamMap;

/* Units of one word of one block that one thread has claimed. */
typedef struct FixedRamClaim {
    FixedRamBlock *block;
    size_t word;                /* word of the block */
    unsigned long mask;         /* units of this word */
} FixedRamClaim;

/* A range of a block, in bytes from its start. */
typedef struct FixedRamRun {
    uint64_t offset;
    uint64_t length;
} FixedRamRun;

/* Where a loader stands in the map; start with all zero. */
typedef struct FixedRamCursor {
    bool valid;
    size_t word;                /* word of the map */
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
 * fixed_ram_map_claim_next(): claim what comes next in the order of the file
 *
 * @cursor: the calling thread's own
 * @bytes: how much to take at most; a unit at least, a word at most
 *
 * Returns false when every word has been visited since the start or the last
 * fixed_ram_map_rewind().  Any thread.
 */
bool fixed_ram_map_claim_next(FixedRamMap *map, FixedRamCursor *cursor,
                              uint64_t bytes, FixedRamClaim *claim);

/** fixed_ram_map_return(): give the units of @claim back: they are missing. */
void fixed_ram_map_return(const FixedRamClaim *claim);

/**
 * fixed_ram_map_receive(): the units of @claim are in place
 *
 * Returns true if nothing is left: one call on a map does so.
 */
bool fixed_ram_map_receive(FixedRamMap *map, const FixedRamClaim *claim);

/** fixed_ram_map_rewind(): let loaders look at every word once more. */
void fixed_ram_map_rewind(FixedRamMap *map);

/** fixed_ram_map_left(): bytes that have not been received.  Any thread. */
uint64_t fixed_ram_map_left(const FixedRamMap *map);

/**
 * fixed_ram_claim_cut(): take the next run of adjoining units off a claim
 *
 * @claim: loses these units
 * @part: becomes the claim of these units alone
 * @run: where they are in the block
 *
 * Returns false if @claim is empty.
 */
bool fixed_ram_claim_cut(FixedRamClaim *claim, FixedRamClaim *part,
                         FixedRamRun *run);

/**
 * fixed_ram_block_next_data(): the next pages in [@pos, @end) that hold data
 *
 * Returns false if there are none.  All in bytes from the block's start.
 */
bool fixed_ram_block_next_data(const FixedRamBlock *block, uint64_t pos,
                               uint64_t end, FixedRamRun *run);

#endif
