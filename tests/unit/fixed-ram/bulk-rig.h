/*
 * fixed-ram: memory to save in bulk, and the expected content of its file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_BULK_RIG_H
#define TESTS_UNIT_FIXED_RAM_BULK_RIG_H

#include "qemu/units.h"
#include "migration/fixed-ram/save/bulk.h"

#define PAGE        4096
#define KEY         0x123456789abcdef0  /* of checksums */
#define NAME        "snapshot.img"

/* The content of a block's pages. */
typedef enum BulkKind {
    EIGHTH,                     /* every eighth page is zero */
    SPARSE,                     /* a memfd with few pages of data */
    UNTOUCHED,                  /* no page was ever accessed */
    MIXED,                      /* some pages are not wanted and not readable */
    FULL,                       /* all pages have data */
    NKINDS,
} BulkKind;

typedef struct BulkRig {
    FixedRamBulkConfig config;
    char *path;
    int fd;                     /* for reading the file */
    FixedRamBulkBlock blocks[NKINDS];
    unsigned long *wanted[NKINDS];  /* todo bitmaps as they were at first */
    FixedRamBulk *bulk;
    uint64_t bandwidth;         /* atomic; the savers ask for it */
} BulkRig;

/* How the file is written. */
typedef enum BulkWay {
    DIRECT = 1,
    PLAIN = 2,                  /* as on an older kernel */
    SINGLE = 4,                 /* by one saver */
    MARKED = 8,                 /* the file has a known content before */
} BulkWay;

extern const uint64_t bulk_lengths[NKINDS];

/** bulk_rig_setup(): returns false and skips the test if the host lacks @way */
bool bulk_rig_setup(BulkRig *f, BulkWay way);
void bulk_rig_teardown(BulkRig *f);

void bulk_rig_start(BulkRig *f, uint64_t bytes_per_second);

/** bulk_rig_wait(): wait until all savers have ended */
void bulk_rig_wait(BulkRig *f);

/**
 * bulk_rig_check_file(): the file has all wanted pages and nothing else
 *
 * Closes the checksums.
 */
void bulk_rig_check_file(const BulkRig *f);

/** bulk_rig_check_sums(): the checksums of a block are those of the file */
void bulk_rig_check_sums(const BulkRig *f, BulkKind kind);

/** bulk_rig_check_unwritten(): a marked file has its old content there */
void bulk_rig_check_unwritten(const BulkRig *f, uint64_t from, uint64_t to);

/** bulk_rig_check_progress(): the figures after a complete save */
void bulk_rig_check_progress(const BulkRig *f);

/** bulk_rig_count_populated(): number of host pages of all blocks */
uint64_t bulk_rig_count_populated(const BulkRig *f);

#endif
