/*
 * fixed-ram: memory that nobody writes to, saved at the speed of the disk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_BULK_H
#define MIGRATION_FIXED_RAM_SAVE_BULK_H

#include "populated.h"
#include "page-sums.h"

/*
 * Threads take blocks' memory extent by extent, in the order of the file, look
 * which pages have data and write these, with short gaps between them, by a
 * few large writes.
 *
 * Nothing breaks if somebody does write to a page meanwhile: the file then has
 * what the page held when it was copied, and a sum that fits.  That it has
 * changed since is for the caller to find out, and to save it again.
 */
typedef struct FixedRamBulk FixedRamBulk;

typedef struct FixedRamBulkBlock {
    const char *name;
    FixedRamMemory mem;
    uint64_t pages_offset;      /* in the file */
    unsigned long *todo;        /* pages to save; cleared when that is done */
    unsigned long *data;        /* bits as they go to the file */
    FixedRamSaveSums *sums;     /* NULL: none are taken */
} FixedRamBulkBlock;

typedef struct FixedRamBulkConfig {
    const char *name;           /* the file, for messages */
    int fd;
    bool direct;                /* it was opened with O_DIRECT */
    unsigned workers;           /* 0: as many as do for this host */
    size_t page_size;
} FixedRamBulkConfig;

/* So far. */
typedef struct FixedRamBulkProgress {
    uint64_t data_pages;
    uint64_t zero_pages;
    uint64_t bytes;             /* that were written for them */
} FixedRamBulkProgress;

/**
 * fixed_ram_bulk_start(): save what is to be done of @blocks
 *
 * The memory, bitmaps and sums of blocks, their names, and the file's, are the
 * caller's and must stay until fixed_ram_bulk_free().  Nobody else may touch
 * the bitmaps, nor the sums of their pages, before fixed_ram_bulk_finish().
 *
 * @bandwidth: bytes a second, or 0
 */
FixedRamBulk *fixed_ram_bulk_start(const FixedRamBulkConfig *config,
                                   const FixedRamBulkBlock *blocks,
                                   size_t nblocks, uint64_t bandwidth,
                                   Error **errp);

/** fixed_ram_bulk_bandwidth(): a new limit, or 0; heeded at once */
void fixed_ram_bulk_bandwidth(FixedRamBulk *bulk, uint64_t bandwidth);

/**
 * fixed_ram_bulk_wait(): wait until it is over, so many milliseconds at most
 *
 * Returns whether it is: all has been written, or something has failed.
 */
bool fixed_ram_bulk_wait(FixedRamBulk *bulk, int timeout_ms);

/** fixed_ram_bulk_progress(): how far it has come; any time */
void fixed_ram_bulk_progress(FixedRamBulk *bulk,
                             FixedRamBulkProgress *progress);

/**
 * fixed_ram_bulk_finish(): begin nothing more, and wait for what is under way
 *
 * Returns false if something has failed.  Else what is still to be done in
 * blocks has not been touched, all the rest has been written.
 */
bool fixed_ram_bulk_finish(FixedRamBulk *bulk, Error **errp);

/**
 * fixed_ram_bulk_free(): end it
 *
 * If it is still under way it is abandoned: what the file has is of no use.
 */
void fixed_ram_bulk_free(FixedRamBulk *bulk);

#endif
