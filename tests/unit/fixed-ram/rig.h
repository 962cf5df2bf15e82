/*
 * fixed-ram: a load without a guest, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_RIG_H
#define TESTS_UNIT_FIXED_RAM_RIG_H

#include "qemu/thread.h"
#include "migration/fixed-ram/load.h"

/*
 * Three blocks on plain mappings and a disk in memory that holds their pages
 * at fixed offsets.  No byte of the disk is zero, so zeros in a page can only
 * come from a clear bit, or are wrong; pages with a clear bit hold stale
 * bytes there.
 */

#define RIG_PAGE    4096ULL
#define RIG_BLOCKS  3

#define RIG_GOOD    0
#define RIG_BAD     (-1)

/* What the file holds, how often it was read, and whether reads get through. */
typedef struct Disk {
    uint8_t *bytes;
    size_t size;
    unsigned *times;            /* a page was read; atomic */
    unsigned opened;            /* sources there were; the main thread's */
    unsigned closed;            /* of these, closed; atomic */
    QemuMutex lock;             /* guards what follows */
    QemuCond cond;
    bool held;                  /* reads wait */
    unsigned inside;            /* reads that wait */
} Disk;

typedef struct RigOptions {
    bool on_demand;
    bool shared;                /* the blocks are mappings of a memfd */
    bool file;                  /* read from a file, not from memory */
    bool empty;                 /* no page has data */
    unsigned loaders;
    uint64_t unit;              /* 0: the host's page */
    int64_t good_reads;         /* of the first source, see rig_source() */
} RigOptions;

typedef struct Rig {
    RigOptions o;
    Disk disk;
    FixedRamMap *map;
    FixedRamLoad *load;
    uint64_t bandwidth;         /* what loaders are told; atomic */
    unsigned begins;            /* calls of wait_begin(); atomic */
    unsigned *ended[RIG_BLOCKS]; /* wait_end() of each unit; atomic */
    QemuMutex lock;             /* guards what follows */
    QemuCond cond;
    unsigned notified;          /* calls of notify() */
} Rig;

/* A thread that reads a page, or all pages in an order of its own. */
typedef struct Toucher {
    QemuThread thread;
    Rig *rig;
    FixedRamBlock *block;       /* NULL: all of all blocks */
    uint64_t page;
    uint32_t seed;
    bool may_fail;              /* zeros are right if the load has failed */
    bool done;                  /* atomic */
} Toucher;

/**
 * rig_new(): set up a load; nothing runs yet
 *
 * NULL where userfaultfd is needed and not to be had; the test is skipped.
 */
Rig *rig_new(const RigOptions *o);

/** rig_start(): start the load's threads. */
void rig_start(Rig *rig);

/** rig_stop(): free the load, so that all its threads have ended. */
void rig_stop(Rig *rig);

/** rig_free(): free everything, the load first if need be. */
void rig_free(Rig *rig);

/**
 * rig_source(): one more source
 *
 * @good: how many reads succeed, or RIG_GOOD, or RIG_BAD: none
 */
FixedRamSource *rig_source(Rig *rig, int64_t good);

/** rig_block(): block number @i. */
FixedRamBlock *rig_block(Rig *rig, unsigned i);

/** rig_data_page(): number @n of a block's pages that the file holds. */
uint64_t rig_data_page(const FixedRamBlock *block, uint64_t n);

/** rig_wait_either(): wait for one of two states; returns which it is. */
FixedRamLoadState rig_wait_either(Rig *rig, FixedRamLoadState a,
                                  FixedRamLoadState b);

/** rig_notified(): how often notify() was called. */
unsigned rig_notified(Rig *rig);

/** rig_wait_notified(): wait until it was called more often than @n times. */
void rig_wait_notified(Rig *rig, unsigned n);

/** rig_wait(): wait for a state. */
void rig_wait(Rig *rig, FixedRamLoadState state);

/** rig_hold(): have reads wait, or let them all through. */
void rig_hold(Rig *rig, bool held);

/** rig_wait_inside(): wait until so many reads wait. */
void rig_wait_inside(Rig *rig, unsigned n);

/** rig_check_page(): does the memory hold what the file says? */
void rig_check_page(Rig *rig, const FixedRamBlock *block, uint64_t page);

/** rig_check_all(): are all pages right? */
void rig_check_all(Rig *rig);

/** rig_check_reads(): was each page with data read once, and no other? */
void rig_check_reads(Rig *rig);

/** rig_touch(): start a toucher of @page; @block NULL: of all pages. */
void rig_touch(Rig *rig, Toucher *t, FixedRamBlock *block, uint64_t page);

/** rig_join(): wait until it has done so. */
void rig_join(Toucher *t);

#endif
