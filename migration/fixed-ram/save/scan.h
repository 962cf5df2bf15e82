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
 * memory, so that a few large writes can write them from there.
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
    /* Pages with data that a delta's layers have, not to be written; or NULL */
    const unsigned long *same;
} FixedRamScan;

/*
 * A gap of zeros up to this length between pages with data is written, too.
 * One large write replaces two small ones: single pages with gaps of a page are
 * saved three times as fast.  A longer gap is not worth its space on disk.
 */
#define FIXED_RAM_SCAN_GAP      (16 * KiB)

/**
 * fixed_ram_scan(): look at all pages in @wanted and copy those with data
 *
 * Returns the number of pages with data.
 */
size_t fixed_ram_scan(const FixedRamScan *scan);

/**
 * fixed_ram_scan_compare(): find the clusters that a delta's base has
 *
 * @scan: after fixed_ram_scan(); with checksums, from a cluster's start on
 * @delta: the block
 * @same: a bit for each page of @scan, which gets it
 *
 * Fails if the checksums of the base cannot be read.
 */
bool fixed_ram_scan_compare(FixedRamScan *scan, FixedRamDeltaBlock *delta,
                            unsigned long *same, Error **errp);

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
