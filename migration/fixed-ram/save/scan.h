/*
 * fixed-ram: find and copy the pages of a slice that have data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_SCAN_H
#define MIGRATION_FIXED_RAM_SAVE_SCAN_H

#include "qemu/units.h"
#include "delta.h"
#include "page-sums.h"

/*
 * Pages that are not zero are copied to a buffer, each to the same offset as in
 * memory, so that a few large writes can write them from there.  Of a delta
 * those clusters that its base has are only read.
 *
 * The checksum is that of the copy: a device may write to the page meanwhile,
 * and fixed_ram_page_sums_copy() explains why that page may not be saved again.
 * The search for zeros, the copy and the checksum share one read from memory.
 */
typedef struct FixedRamScan {
    const uint8_t *mem;
    uint8_t *buf;               /* for the copies, as large as @mem */
    size_t pages;
    size_t page_size;
    const unsigned long *wanted;    /* pages to look at */
    const unsigned long *populated; /* pages that may not be zero */
    const unsigned long *copied;    /* pages that are in @buf, or NULL */
    unsigned long *data;        /* set for pages with data, else cleared */
    FixedRamPageSums *sums;     /* of the block; NULL: none are taken */
    uint64_t first;             /* index in @sums of the page at @mem */
    /* What is compared, with @sums and from a cluster's start on; or NULL */
    FixedRamDeltaBlock *delta;
    unsigned long *same;        /* with @delta: set for pages that its layers */
                                /* have, which are not to be written */
} FixedRamScan;

/*
 * A gap of zeros up to this length between pages with data is written, too.
 * One large write replaces two small ones: single pages with gaps of a page are
 * saved three times as fast.  A longer gap is not worth its space on disk.
 */
#define FIXED_RAM_SCAN_GAP      (16 * KiB)

/**
 * fixed_ram_scan(): look at all pages in @wanted and copy those to be written
 *
 * @found: grows by the number of pages with data
 *
 * Fails if the checksums of a delta's base cannot be read, and never without
 * @scan->delta.
 */
bool fixed_ram_scan(const FixedRamScan *scan, size_t *found, Error **errp);

/**
 * fixed_ram_scan_next_run(): find the next pages to write by one write
 *
 * @pos: the page at which to begin the search
 * @first, @end: the first page of the run, and the page behind its last one
 *
 * The run begins and ends with a page that has data, and contains no page that
 * is not wanted.  At most half of its pages are zeros, which bounds the growth
 * of the file; the buffer holds zeros for them.  Returns false if no page with
 * data is left.
 */
bool fixed_ram_scan_next_run(const FixedRamScan *scan, size_t pos,
                             size_t *first, size_t *end);

#endif
