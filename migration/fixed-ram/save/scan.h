/*
 * fixed-ram: from memory to what is to be written of it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_SCAN_H
#define MIGRATION_FIXED_RAM_SAVE_SCAN_H

#include "qemu/units.h"
#include "page-sums.h"

/*
 * Pages that are not zero are copied to a buffer, each to where it lies among
 * its neighbours, and a few large writes bring them to the file from there.
 *
 * It is the copy that is summed and written: if somebody writes to the page
 * meanwhile it will come again, but may never do so, see
 * fixed_ram_save_sums_copy().  The sum, the search for zeros and the copy
 * itself share one trip to memory.
 */
typedef struct FixedRamScan {
    const uint8_t *mem;
    uint8_t *buf;               /* as large */
    size_t pages;
    size_t page_size;
    const unsigned long *wanted;    /* pages to look at */
    const unsigned long *populated; /* of these, who may not be zero */
    unsigned long *data;        /* set for those that are not, else cleared */
    FixedRamSaveSums *sums;     /* NULL: none are taken */
    uint64_t first;             /* our first page is this one there */
} FixedRamScan;

/*
 * Zeros between pages that are written are written, too, rather than making
 * two writes of one: single pages with gaps of as many bytes are saved three
 * times as fast.  Beyond this length it only costs space.
 */
#define FIXED_RAM_SCAN_GAP      (16 * KiB)

/**
 * fixed_ram_scan(): look at all pages that are wanted, copy those with data
 *
 * Returns how many these are.
 */
size_t fixed_ram_scan(const FixedRamScan *scan);

/**
 * fixed_ram_scan_next_run(): what to write at once
 *
 * @pos: pages before this one have been written
 * @first, @end: the run, in pages
 *
 * It begins and ends with pages that have data, and no more of its pages are
 * zeros than have data, so that the file does not grow beyond measure; in the
 * buffer they are zeros now.  A page that is not wanted is not written.
 * Returns false if nothing is left.
 */
bool fixed_ram_scan_next_run(const FixedRamScan *scan, size_t pos,
                             size_t *first, size_t *end);

#endif
