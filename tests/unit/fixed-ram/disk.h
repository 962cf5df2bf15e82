/*
 * fixed-ram: a disk in memory, for tests of the engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_DISK_H
#define TESTS_UNIT_FIXED_RAM_DISK_H

#include "qemu/thread.h"
#include "migration/fixed-ram/engine/map.h"
#include "migration/fixed-ram/format/source.h"

#define DISK_PAGE   4096ULL

#define DISK_GOOD   0
#define DISK_BAD    (-1)

/* What the file holds, how often it was read, and whether reads get through. */
typedef struct Disk {
    uint8_t *bytes;
    size_t size;
    unsigned *times;            /* a page was read; atomic */
    unsigned *starts;           /* a read began there; atomic */
    const FixedRamMap *map;     /* the memory that the file is for, or NULL */
    uint64_t straight;          /* bytes read into that memory; atomic */
    uint64_t bad;               /* reads of this page fail; 0: none; atomic */
    unsigned opened;            /* sources there were; the main thread's */
    QemuMutex lock;             /* guards what follows */
    QemuCond cond;
    unsigned closed;            /* sources */
    unsigned held;              /* reads of so many sources wait, the first */
    unsigned inside;            /* reads that wait */
} Disk;

/** disk_fill(): give it @disk->size bytes, none of them zero. */
void disk_fill(Disk *disk);

/** disk_free(): free what it holds; all sources are closed. */
void disk_free(Disk *disk);

/**
 * disk_source(): one more source
 *
 * @good: how many reads succeed, or DISK_GOOD, or DISK_BAD: none
 * @file: read from a file with the same bytes
 */
FixedRamSource *disk_source(Disk *disk, int64_t good, bool file);

/** disk_hold(): have reads wait, or let them all through. */
void disk_hold(Disk *disk, bool held);

/** disk_hang(): have reads wait of all sources that there are so far. */
void disk_hang(Disk *disk);

/** disk_closed(): so many sources have been closed. */
unsigned disk_closed(Disk *disk);

/** disk_wait_closed(): wait until all have been. */
void disk_wait_closed(Disk *disk);

/** disk_wait_n_closed(): wait until @n sources have been closed. */
void disk_wait_n_closed(Disk *disk, unsigned n);

/** disk_wait_inside(): wait until so many reads wait. */
void disk_wait_inside(Disk *disk, unsigned n);

#endif
