/*
 * fixed-ram: copies of memory that is about to change
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_POOL_H
#define MIGRATION_FIXED_RAM_SAVE_POOL_H

#include "qemu/queue.h"

/*
 * A bounded number of buffers of one size.  The caller provides for a lock: it
 * is needed for all functions, and for @ready.
 */
typedef struct FixedRamPool FixedRamPool;

typedef struct FixedRamCopy {
    uint8_t *mem;
    size_t block;               /* where the copied memory is: in which block */
    uint64_t offset;            /* and where in this block */
    bool ready;                 /* @mem holds the copy; the caller's */
    QTAILQ_ENTRY(FixedRamCopy) next;    /* in order of age, or free ones */
} FixedRamCopy;

/**
 * fixed_ram_pool_new(): a pool of @count buffers of @size bytes
 *
 * Buffers that are not used take no memory.
 */
FixedRamPool *fixed_ram_pool_new(size_t count, size_t size, Error **errp);

/** fixed_ram_pool_free(): NULL is allowed */
void fixed_ram_pool_free(FixedRamPool *pool);

/** fixed_ram_pool_full(): is no buffer free? */
bool fixed_ram_pool_full(const FixedRamPool *pool);

/** fixed_ram_pool_half(): is half of the pool in use? */
bool fixed_ram_pool_half(const FixedRamPool *pool);

/**
 * fixed_ram_pool_add(): a buffer for a copy of the memory at this place
 *
 * The pool is not full, and has no copy of this memory.  Returns a copy that is
 * not ready.
 */
FixedRamCopy *fixed_ram_pool_add(FixedRamPool *pool, size_t block,
                                 uint64_t offset);

/** fixed_ram_pool_find(): the copy of this memory, or NULL */
FixedRamCopy *fixed_ram_pool_find(const FixedRamPool *pool, size_t block,
                                  uint64_t offset);

/** fixed_ram_pool_oldest(): the copy that was added first, or NULL */
const FixedRamCopy *fixed_ram_pool_oldest(const FixedRamPool *pool);

/** fixed_ram_pool_remove(): the copy is not needed any more */
void fixed_ram_pool_remove(FixedRamPool *pool, FixedRamCopy *copy);

#endif
