/*
 * fixed-ram: a load without a guest, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_RIG_H
#define TESTS_UNIT_FIXED_RAM_RIG_H

#include "qemu/thread.h"
#include "migration/fixed-ram/engine/load.h"
#include "disk.h"
#include "rig-set.h"

/*
 * Three blocks on plain mappings and a disk in memory that holds their pages
 * at fixed offsets.  No byte of the disk is zero, so zeros in a page can only
 * come from a clear bit, or are wrong; pages with a clear bit hold stale
 * bytes there.
 *
 * The first block has these extents, and a part of one:
 *
 *   full, holed (every eighth page is zero), sparse, empty, patchy (random,
 *   with one long stretch of zeros), more full ones if asked for
 *
 * With the host's small pages as units, huge pages may back it.
 */

#define RIG_PAGE    DISK_PAGE
#define RIG_BLOCKS  3
/* What the memory holds before the load, where the load is to write. */
#define RIG_SOIL    0xa6

enum { RIG_FULL, RIG_HOLED, RIG_SPARSE, RIG_EMPTY, RIG_PATCHY, RIG_EXTENTS };

/* Pages of an extent that one huge page could back. */
#define RIG_HUGE    (FIXED_RAM_EXTENT_BYTES / RIG_PAGE)
/* Stretches of zero pages no longer than this may be read along. */
#define RIG_GAP     16
/* Pages from one to the next stretch of data in the sparse extent. */
#define RIG_STRIDE  24

typedef struct RigOptions {
    bool on_demand;
    bool shared;                /* the blocks are mappings of a memfd */
    bool file;                  /* read from a file, not from memory */
    bool empty;                 /* no page has data */
    bool no_move;               /* take the kernel for one that cannot */
    bool stubborn;              /* what is shared is said to become huge */
    bool sums;                  /* what is read is verified */
    unsigned more;              /* extents */
    unsigned loaders;
    uint64_t unit;              /* 0: the host's page */
    int64_t good_reads;         /* of the first source, see disk_source() */
    bool record;                /* record the order of first touch */
    /* The load has a working set, to which this adds pages. */
    RigSetFunc *set;
    bool pack;                  /* and it has a packed copy */
} RigOptions;

typedef struct Rig {
    RigOptions o;
    Disk disk;
    FixedRamMap *map;
    FixedRamLoad *load;
    FixedRamWorkingSet *set;
    FixedRamSumTable *sums;     /* NULL: nothing is verified */
    uint64_t bandwidth;         /* what loaders are told; atomic */
    unsigned begins;            /* calls of wait_begin(); atomic */
    unsigned *begun[RIG_BLOCKS]; /* of these, for each unit; atomic */
    unsigned *ended[RIG_BLOCKS]; /* wait_end() of each unit; atomic */
    QemuMutex lock;             /* guards what follows */
    QemuCond cond;
    unsigned notified;          /* calls of notify() */
    GArray *placed;             /* addresses of units, in this order */
    Error *pack_error;          /* of pack_failed(), or NULL */
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

/**
 * rig_new_replay(): the same on demand, with a working set
 *
 * There is so much memory that only all of it is a large set.
 */
Rig *rig_new_replay(const RigOptions *o, RigSetFunc *set, bool pack);

/** rig_start(): start the load's threads. */
void rig_start(Rig *rig);

/**
 * rig_stop(): free the load, and wait until all its threads have ended
 *
 * Those that do not count any more may still read, but not for ever.
 */
void rig_stop(Rig *rig);

/** rig_leave(): free the load, the memory, the map; reads may hang. */
void rig_leave(Rig *rig);

/** rig_free(): free everything, and wait as rig_stop(). */
void rig_free(Rig *rig);

/** rig_source(): one more source; @good as for disk_source(). */
FixedRamSource *rig_source(Rig *rig, int64_t good);

/** rig_pause(): stall the load. */
void rig_pause(Rig *rig);

/** rig_recover(): go on with one more source; @good as for disk_source(). */
void rig_recover(Rig *rig, int64_t good);

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

/** rig_wait_begun(): wait until wait_begin() was called @n times. */
void rig_wait_begun(Rig *rig, unsigned n);

/** rig_wait(): wait for a state. */
void rig_wait(Rig *rig, FixedRamLoadState state);

/** rig_check_page(): does the memory hold what the file says? */
void rig_check_page(Rig *rig, const FixedRamBlock *block, uint64_t page);

/** rig_check_all(): are all pages right? */
void rig_check_all(Rig *rig);

/**
 * rig_check_reads(): was each page with data read, and no other, short
 * stretches between these excepted?
 *
 * @once: and none of them twice
 */
void rig_check_reads(Rig *rig, bool once);

/** rig_check_complete(): all has come, and the figures say so. */
void rig_check_complete(Rig *rig);

/**
 * rig_check_waits(): the load was freed; was wait_end() called for each unit
 * that was placed, and no more often than there were reasons?
 */
void rig_check_waits(Rig *rig);

/** rig_reads(): how many reads began in @pages pages of @block from @page. */
unsigned rig_reads(Rig *rig, const FixedRamBlock *block, uint64_t page,
                   uint64_t pages);

/** rig_can_move(): does this kernel move pages, and may it for @o? */
bool rig_can_move(const RigOptions *o);

/** rig_whole(): is extent @extent of the first block in place as one? */
bool rig_whole(Rig *rig, unsigned extent);

/** rig_touch(): start a toucher of @page; @block NULL: of all pages. */
void rig_touch(Rig *rig, Toucher *t, FixedRamBlock *block, uint64_t page);

/** rig_join(): wait until it has done so. */
void rig_join(Toucher *t);

/**
 * rig_race(): start, and pause and recover @rounds times at any moment, with
 * reads that hang and that fail, while threads touch all pages; check, and free
 * the rig
 *
 * Each source but the last one fails after a few reads.
 */
void rig_race(Rig *rig, unsigned rounds);

/**
 * rig_add_kinds(): add the test /fixed-ram/@name for each kind of memory
 *
 * @func gets the RigOptions, which it copies and completes.
 */
void rig_add_kinds(const char *name, GTestDataFunc func);

#endif
