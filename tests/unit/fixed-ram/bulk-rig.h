/*
 * fixed-ram: memory to save in bulk, and what its file must hold
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_BULK_RIG_H
#define TESTS_UNIT_FIXED_RAM_BULK_RIG_H

#include "qemu/units.h"
#include "migration/fixed-ram/save/bulk.h"

#define PAGE        4096
#define NAME        "snapshot.img"

/* What a block's pages are. */
typedef enum BulkKind {
    EIGHTH,                     /* of the pages is zero */
    SPARSE,                     /* a memfd with little in it */
    UNTOUCHED,
    MIXED,                      /* some must not even be looked at */
    FULL,
    NKINDS,
} BulkKind;

typedef struct BulkRig {
    FixedRamBulkConfig config;
    char *path;
    int fd;                     /* for looking at the file */
    FixedRamBulkBlock blocks[NKINDS];
    unsigned long *wanted[NKINDS];
    FixedRamBulk *bulk;
} BulkRig;

/* How it is written. */
typedef enum BulkWay {
    DIRECT = 1,
    PLAIN = 2,                  /* as on an older kernel */
    SINGLE = 4,                 /* by one thread */
    MARKED = 8,                 /* over something */
} BulkWay;

extern const uint64_t bulk_lengths[NKINDS];

/** bulk_rig_setup(): false, and skipped, if this cannot be done here */
bool bulk_rig_setup(BulkRig *f, BulkWay way);
void bulk_rig_teardown(BulkRig *f);

void bulk_rig_start(BulkRig *f, uint64_t bandwidth);

/** bulk_rig_wait(): until it is over, however slow the machine may be */
void bulk_rig_wait(BulkRig *f);

/** bulk_rig_check_file(): all that was wanted, and nothing else; closes sums */
void bulk_rig_check_file(const BulkRig *f);

/** bulk_rig_check_sums(): of a block, against what the file has */
void bulk_rig_check_sums(const BulkRig *f, BulkKind kind);

/** bulk_rig_check_unwritten(): a marked file still has its marks there */
void bulk_rig_check_unwritten(const BulkRig *f, uint64_t from, uint64_t to);

/** bulk_rig_check_progress(): in the end */
void bulk_rig_check_progress(const BulkRig *f);

/** bulk_rig_count_populated(): pages that the host has for blocks */
uint64_t bulk_rig_count_populated(const BulkRig *f);

#endif
