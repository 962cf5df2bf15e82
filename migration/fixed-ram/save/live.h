/*
 * fixed-ram: memory that is saved as it was at one moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_LIVE_H
#define MIGRATION_FIXED_RAM_SAVE_LIVE_H

#include "qemu/units.h"
#include "populated.h"

/*
 * The guest goes on while its memory is saved, and the file gets what the
 * memory held at the moment of fixed_ram_live_freeze().  All memory is
 * write-protected then.  Savers go through it in the order of the file, copy
 * each part and let it go.  A thread that writes to a part that no saver has
 * copied yet waits until a fault thread has copied a cluster of it to a pool;
 * the saver that comes to this place takes the copy.  If the pool is full the
 * thread waits until a saver has taken a copy, and then savers do not keep to
 * the order: they take those slices first that have the oldest copies.  If they
 * take none for long, because the disk hangs, all memory is let go, and the
 * save is lost: the thread that waits may be QEMU's main thread.
 *
 *   cluster    claimed  settled
 *   protected     0        0     a write makes a fault thread claim it
 *   claimed       1        0     one thread copies it: a saver or a fault
 *                                thread; no other thread looks at it
 *   settled       1        1     it is copied, and may be written
 *
 * To protect memory takes long if its pages are small, so most of it is
 * protected before the guest stops: fixed_ram_live_arm().  A write before the
 * stop lets a whole extent go, and fixed_ram_live_freeze() protects it again.
 *
 * A page that is absent at the stop is zero and is not saved, and if the guest
 * touches it later it gets a page that is not protected.
 */
typedef struct FixedRamLive FixedRamLive;

typedef struct FixedRamLiveBlock {
    const char *name;           /* for messages; stays the caller's */
    FixedRamMemory mem;
    uint64_t host_page;         /* page size of this memory */
} FixedRamLiveBlock;

/* Many writes fit before savers have to keep up with the guest. */
#define FIXED_RAM_LIVE_POOL_BYTES   (64 * MiB)

/* So long a thread waits for room in the pool at most. */
#define FIXED_RAM_LIVE_PATIENCE_MS  5000

/* Memory of the host with larger pages cannot be saved live. */
#define FIXED_RAM_LIVE_PAGE_MAX     (2 * MiB)

/**
 * fixed_ram_live_check(): can the memory be saved live?
 *
 * Takes little time, however large the memory is.  Errors name the block.
 */
bool fixed_ram_live_check(const FixedRamLiveBlock *blocks, size_t nblocks,
                          size_t page_size, Error **errp);

/**
 * fixed_ram_live_new(): prepare to save memory live
 *
 * @page_size: of the pages in bitmaps
 * @pool_bytes: for copies; at least FIXED_RAM_LIVE_PAGE_MAX
 * @patience_ms: how long a thread that writes may wait for the disk
 *
 * Nothing is protected yet.  The memory must stay until fixed_ram_live_end().
 * Errors name the block.
 */
FixedRamLive *fixed_ram_live_new(const FixedRamLiveBlock *blocks,
                                 size_t nblocks, size_t page_size,
                                 size_t pool_bytes, unsigned patience_ms,
                                 Error **errp);

/** fixed_ram_live_free(): no thread may use @live; NULL is allowed */
void fixed_ram_live_free(FixedRamLive *live);

/**
 * fixed_ram_live_arm(): protect the memory while the guest still runs
 *
 * Starts the fault threads.
 */
bool fixed_ram_live_arm(FixedRamLive *live, Error **errp);

/**
 * fixed_ram_live_freeze(): what the memory holds now is to be saved
 *
 * @todo: a bitmap for each block, of pages to save; the bits of pages are
 *        cleared that are zero because they have never been touched.  The
 *        caller owns them, and they must stay until fixed_ram_live_end().
 *
 * No thread writes to the memory meanwhile: the guest is stopped.
 */
bool fixed_ram_live_freeze(FixedRamLive *live, unsigned long *const *todo,
                           Error **errp);

/**
 * fixed_ram_live_end(): nothing is protected any more
 *
 * Threads that wait go on at once, whatever has not been saved.  Any thread;
 * savers may still be at work.  A second call does nothing.
 */
void fixed_ram_live_end(FixedRamLive *live);

/**
 * fixed_ram_live_split(): extents of which writes have broken up the huge page
 *
 * They were huge pages at fixed_ram_live_arm().  After fixed_ram_live_end();
 * the caller frees the array, of host addresses.
 */
GPtrArray *fixed_ram_live_split(const FixedRamLive *live);

/**
 * fixed_ram_live_lost(): has the memory been let go because the disk hangs?
 *
 * Then savers may get what memory holds now, and the save must fail.  Any
 * thread.
 */
bool fixed_ram_live_lost(FixedRamLive *live);

/**
 * fixed_ram_live_keep(): memory is about to be discarded
 *
 * Returns when the pages there have been copied, or need not be.  Memory that
 * is no part of a block is none of ours.  Any thread.
 */
void fixed_ram_live_keep(FixedRamLive *live, const uint8_t *host,
                         uint64_t length);

/*
 * For savers.  A slice belongs to one saver.
 */

/**
 * fixed_ram_live_urgent(): is there a place that should be saved next?
 *
 * @block, @offset: a place whose copy has been in the pool for long
 *
 * Returns false if the pool has enough room.
 */
bool fixed_ram_live_urgent(FixedRamLive *live, size_t *block,
                           uint64_t *offset);

/**
 * fixed_ram_live_take(): claim a slice, from @offset on
 *
 * @buf: as large as the slice; copies that the pool has of it are moved there
 * @copied: a bit for each page of the slice; set for these pages, else cleared
 *
 * The other pages are as they were at the freeze, until fixed_ram_live_give().
 */
void fixed_ram_live_take(FixedRamLive *live, size_t block, uint64_t offset,
                         uint64_t length, uint8_t *buf, unsigned long *copied);

/**
 * fixed_ram_live_give(): a part of a slice has been copied
 *
 * @offset, @length: of the part; whole extents keep huge pages whole
 */
void fixed_ram_live_give(FixedRamLive *live, size_t block, uint64_t offset,
                         uint64_t length);

#endif
