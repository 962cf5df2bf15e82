/*
 * fixed-ram: the page map: the state of each page of each block
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_MAP_H
#define MIGRATION_FIXED_RAM_ENGINE_MAP_H

#include "qemu/units.h"
#include "../format/reader.h"
#include "../util/sparse.h"

/*
 * The words of this folder, each with one meaning:
 *
 *   page       a page of the target: a bit in the snapshot's bitmap
 *   unit       the smallest piece that is claimed and placed: the host page of
 *              the block's memory where userfaultfd is used, else a page.  One
 *              page or several.
 *   extent     2 MiB of a block's memory, aligned: what a loader claims, and
 *              moves as one huge page.  A larger unit is an extent of its own.
 *   cluster    64 KiB of a block, which one checksum covers
 *   run        consecutive units, or pages
 *   claim      the exclusive right of one thread to read and place units of
 *              one extent
 *   data       pages that the snapshot's file holds; all others are zero
 *   fault      a thread touched a page that is missing, and waits for it; the
 *              thread may be a vCPU, a thread of QEMU, or one in the kernel
 *   received   a unit is in place: no worker touches it any more
 *   source     where the bytes of pages come from: format/source.h
 *   stall      the load has stopped after an error while the guest runs; a
 *              recovery ends it
 *   retire     a recovery goes on without a worker that is in a read
 *   give up    do without a page that cannot be read; its memory is poisoned
 *
 * Each unit is in one of three states:
 *
 *   pending  absent   state
 *   -------  ------   -------------------------------------------------
 *      1       1      missing: no thread reads it
 *      0       1      claimed: one thread reads it and will place it
 *      0       0      received: placed, or zero from the start
 *
 * So no bit is set for memory without data, and the parts of these bitmaps that
 * belong to such memory are never touched, see util/sparse.h.
 *
 * missing -> claimed is one atomic operation on a word of 64 units, so each
 * unit has one owner; claimed -> received or claimed -> missing (the reader
 * failed) is the owner's alone.  No lock is taken anywhere.
 */

/* The bytes of an extent, and the largest number of words for its units. */
#define FIXED_RAM_EXTENT_BYTES  (2 * MiB)
#define FIXED_RAM_EXTENT_WORDS  8

typedef struct FixedRamBlock {
    char name[FIXED_RAM_NAME_MAX + 1];
    uint8_t *host;              /* where the block's memory is mapped */
    uint64_t length;            /* bytes, a multiple of @unit */
    uint64_t pages_offset;      /* where the first byte is in the file */
    uint64_t page_size;         /* bytes in a page */
    uint64_t unit;              /* bytes in a unit, at least @page_size */
    unsigned long *data;        /* a bit a page: the file holds it */
    unsigned long *parts;       /* of @data; NULL: see fixed_ram_map_add() */
    uint64_t first_cluster;     /* number of its first checksum, see sums.h */
    bool huge;                  /* the host may back an extent by one page */
    bool readonly;              /* eager: the memory cannot be written, it */
                                /* must hold the snapshot's content already */

    /*
     * Set by fixed_ram_map_add().  The bitmaps are atomic, all other fields do
     * not change while threads use the map.
     */
    size_t number;              /* of the block in the map */
    uint64_t units;             /* number of units */
    uint64_t extent_units;      /* units of an extent; a power of two */
    size_t extents;             /* number of extents, the last may be short */
    size_t first_extent;        /* number of its first extent in the map */
    uint64_t wanted;            /* bytes of its units that hold data */
    unsigned long *whole;       /* a bit an extent: placed as one huge page */
    unsigned long *pending;     /* a bit a unit */
    unsigned long *absent;      /* a bit a unit */
    unsigned long *marks;       /* a bit a unit, see marks.h; or NULL */
} FixedRamBlock;

typedef struct FixedRamMap {
    GPtrArray *blocks;          /* of FixedRamBlock */
    size_t extents;             /* number of extents of all blocks */
    size_t cursor;              /* next extent for loaders; atomic */
    uint64_t total;             /* bytes of RAM */
    uint64_t wanted;            /* bytes of the units that hold data */
    uint64_t left;              /* of @wanted, bytes not received; atomic */
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

/* The extent that a loader is at.  All zero to begin with. */
typedef struct FixedRamCursor {
    bool valid;
    size_t extent;              /* number of the extent in the map */
} FixedRamCursor;

/** fixed_ram_map_new(): an empty map, freed by fixed_ram_map_free() */
FixedRamMap *fixed_ram_map_new(void);

/** fixed_ram_map_free(): free @map and its blocks, not the guest's memory */
void fixed_ram_map_free(FixedRamMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamMap, fixed_ram_map_free)

/**
 * fixed_ram_map_add(): add a block before any thread uses the map
 *
 * @block: the caller has set all fields down to @readonly; the block and its
 *         bitmaps, all from g_malloc(), belong to the map from now on.  If the
 *         caller does not know the parts of @data, they are found out here.
 *
 * Units that hold data begin as missing, all others as received.
 */
void fixed_ram_map_add(FixedRamMap *map, FixedRamBlock *block);

/** fixed_ram_map_block(): block number @i of map->blocks->len */
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
 * fixed_ram_map_absent(): which pages are not in place?
 *
 * @pages: a bit for each page of the block, all clear; those are set that share
 *         a unit with data that has not been received
 *
 * A page whose bit stays clear was in place before this returned.  Any thread.
 */
void fixed_ram_map_absent(const FixedRamBlock *block, unsigned long *pages);

/** fixed_ram_map_is_zero(): does the file hold nothing of @unit? */
bool fixed_ram_map_is_zero(const FixedRamBlock *block, uint64_t unit);

/**
 * fixed_ram_map_may_be_huge(): should one huge page back the extent in which
 * @unit lies?
 */
bool fixed_ram_map_may_be_huge(const FixedRamBlock *block, uint64_t unit);

/**
 * fixed_ram_map_was_claimed(): does @unit hold data, and is it no longer
 * missing?
 *
 * False beyond the block's ends.  Any thread.
 */
bool fixed_ram_map_was_claimed(const FixedRamBlock *block, uint64_t unit);

/**
 * fixed_ram_map_extent(): the number in the map of the extent in which @unit
 * lies
 */
size_t fixed_ram_map_extent(const FixedRamBlock *block, uint64_t unit);

/**
 * fixed_ram_map_claim_around(): claim a unit, and missing ones beside it
 *
 * @span: how many units to claim at most, a power of two up to 64: those of
 *        the aligned group of @span units in which @unit lies
 *
 * Returns false, and claims nothing, if @unit is not missing.  Any thread.
 */
bool fixed_ram_map_claim_around(FixedRamBlock *block, uint64_t unit,
                                unsigned span, FixedRamClaim *claim);

/**
 * fixed_ram_map_claim_intact(): claim the extent in which @unit lies, if one
 * huge page could still back it
 *
 * Another thread may claim some of it at the same time, and @unit too; then
 * @claim has what is left.
 *
 * Returns false, and claims nothing, if the extent is broken up.  Any thread.
 */
bool fixed_ram_map_claim_intact(FixedRamBlock *block, uint64_t unit,
                                FixedRamClaim *claim);

/**
 * fixed_ram_map_claim_run(): claim what is missing of @run
 *
 * @run: whole units of one extent
 *
 * Returns false if nothing is missing.  Any thread.
 */
bool fixed_ram_map_claim_run(FixedRamBlock *block, const FixedRamRun *run,
                             FixedRamClaim *claim);

/**
 * fixed_ram_map_claim_in(): claim some of what is missing of extent @extent
 * of the map
 *
 * @all: claim all of it.  Else all of it only if a huge page could still back
 *       the extent, and otherwise no more than one word of units: the guest
 *       uses the extent, and would wait for all of them.
 *
 * Returns false if nothing is missing.  Any thread.
 */
bool fixed_ram_map_claim_in(FixedRamMap *map, size_t extent, bool all,
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
                              bool all, FixedRamClaim *claim);

/** fixed_ram_map_return(): end @claim: its units are missing again */
void fixed_ram_map_return(const FixedRamClaim *claim);

/**
 * fixed_ram_map_receive(): the units at @run are in place
 *
 * @bytes: of those that had been claimed; the others hold no data
 *
 * Returns true if every unit of the map is received now; one call does so.
 */
bool fixed_ram_map_receive(FixedRamMap *map, FixedRamBlock *block,
                           const FixedRamRun *run, uint64_t bytes);

/** fixed_ram_map_rewind(): have loaders look at every extent once more */
void fixed_ram_map_rewind(FixedRamMap *map);

/** fixed_ram_map_left(): bytes that have not been received; any thread */
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
