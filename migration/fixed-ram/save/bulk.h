/*
 * fixed-ram: save the memory of a stopped guest at the speed of the disk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_BULK_H
#define MIGRATION_FIXED_RAM_SAVE_BULK_H

#include "delta.h"
#include "live.h"
#include "page-sums.h"

/*
 * Saver threads take the blocks' memory slice by slice, in the order of the
 * file.  For each slice a saver finds the pages that have data, copies them and
 * writes the copies by a few large writes.
 *
 * A device may write to a page meanwhile.  The file then holds the content that
 * the saver copied, with the checksum of that content.  The caller finds such
 * pages by dirty tracking and saves them again.  Or the memory is frozen, see
 * live.h: then savers write what it held at that moment.
 */
typedef struct FixedRamBulk FixedRamBulk;

typedef struct FixedRamBulkBlock {
    const char *name;           /* for messages */
    FixedRamMemory mem;
    uint64_t pages_offset;      /* of the block's pages in the file */
    /* Pages to save: a saver clears the bits of a slice that it has saved */
    unsigned long *todo;
    /* The bitmap for the file, all clear: savers set the bits of data */
    unsigned long *data;
    FixedRamPageSums *sums;     /* NULL: no checksums are taken */
    /* Clusters that the base has are left out; needs @sums.  NULL: none is */
    FixedRamDeltaBlock *delta;
} FixedRamBulkBlock;

typedef struct FixedRamBulkConfig {
    const char *name;           /* the file, for messages */
    int fd;
    bool direct;                /* @fd was opened with O_DIRECT */
    int buffered_fd;            /* for direct writes that are refused, or -1 */
    unsigned workers;           /* saver threads; 0: as many as suit the host */
    size_t page_size;
    /* The limit in bytes a second, 0 for none; savers call it.  NULL: none */
    uint64_t (*bandwidth)(void *opaque);
    void *opaque;               /* for @bandwidth */
    FixedRamLive *live;         /* frozen, the same blocks in the same order; */
                                /* NULL: memory is saved as savers find it */
} FixedRamBulkConfig;

/* What the savers have done so far. */
typedef struct FixedRamBulkProgress {
    uint64_t data_pages;        /* that were written, or that the base has */
    uint64_t zero_pages;        /* that were found to be zero */
    uint64_t bytes;             /* passed to writes */
} FixedRamBulkProgress;

/**
 * fixed_ram_bulk_start(): start to save the pages in the @todo of @blocks
 *
 * The caller owns the memory, bitmaps, checksums and names of the blocks, and
 * the descriptor and name of the file; they must stay until
 * fixed_ram_bulk_free().  Until fixed_ram_bulk_finish() no other code may use
 * the bitmaps, or the checksums of pages in @todo.
 *
 * A host that allows no thread is not an error: nothing is saved then, and
 * fixed_ram_bulk_finish() leaves all pages in @todo.
 */
FixedRamBulk *fixed_ram_bulk_start(const FixedRamBulkConfig *config,
                                   const FixedRamBulkBlock *blocks,
                                   size_t nblocks, Error **errp);

/**
 * fixed_ram_bulk_wait(): wait for the end, at most @timeout_ms milliseconds
 *
 * Returns true if all savers have ended: they have saved everything, or one of
 * them has failed.
 */
bool fixed_ram_bulk_wait(FixedRamBulk *bulk, int timeout_ms);

/** fixed_ram_bulk_progress(): how far the savers have come.  Any thread. */
void fixed_ram_bulk_progress(FixedRamBulk *bulk,
                             FixedRamBulkProgress *progress);

/**
 * fixed_ram_bulk_finish(): have savers finish their slices and take no more
 *
 * Returns false if one of them has failed.  On success all pages that are no
 * longer in @todo are written, and the others are as they were.
 */
bool fixed_ram_bulk_finish(FixedRamBulk *bulk, Error **errp);

/**
 * fixed_ram_bulk_free(): release everything
 *
 * If the savers have not ended they stop before their next write; the content
 * of the file is then undefined.  NULL is allowed.
 */
void fixed_ram_bulk_free(FixedRamBulk *bulk);

#endif
