/*
 * fixed-ram: copies of memory that is about to change
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "../util/buffer.h"
#include "pool.h"

typedef QTAILQ_HEAD(, FixedRamCopy) CopyList;

struct FixedRamPool {
    FixedRamBuffer buffer;      /* the memory of all copies */
    FixedRamCopy *copies;
    size_t count;
    size_t used;
    /* The buffer that was freed last is used next: its memory is there. */
    CopyList idle;
    CopyList busy;              /* the oldest one first */
    GHashTable *by_place;       /* those in @busy */
};

static guint hash_place(gconstpointer key)
{
    const FixedRamCopy *copy = key;
    uint64_t mixed = (copy->block + 1) * 0x9e3779b97f4a7c15ull + copy->offset;

    return g_int64_hash(&mixed);
}

static gboolean same_place(gconstpointer a, gconstpointer b)
{
    const FixedRamCopy *x = a, *y = b;

    return x->block == y->block && x->offset == y->offset;
}

FixedRamPool *fixed_ram_pool_new(size_t count, size_t size, Error **errp)
{
    FixedRamPool *pool = g_new0(FixedRamPool, 1);

    if (!fixed_ram_buffer_map(&pool->buffer, count * size, errp)) {
        g_free(pool);
        return NULL;
    }
    QTAILQ_INIT(&pool->idle);
    QTAILQ_INIT(&pool->busy);
    pool->by_place = g_hash_table_new(hash_place, same_place);
    pool->copies = g_new0(FixedRamCopy, count);
    pool->count = count;
    for (size_t i = 0; i < count; i++) {
        pool->copies[i].mem = pool->buffer.mem + i * size;
        QTAILQ_INSERT_TAIL(&pool->idle, &pool->copies[i], next);
    }
    return pool;
}

void fixed_ram_pool_free(FixedRamPool *pool)
{
    if (pool) {
        g_hash_table_unref(pool->by_place);
        fixed_ram_buffer_unmap(&pool->buffer);
        g_free(pool->copies);
        g_free(pool);
    }
}

bool fixed_ram_pool_full(const FixedRamPool *pool)
{
    return QTAILQ_EMPTY(&pool->idle);
}

bool fixed_ram_pool_half(const FixedRamPool *pool)
{
    return pool->used >= DIV_ROUND_UP(pool->count, 2);
}

FixedRamCopy *fixed_ram_pool_add(FixedRamPool *pool, size_t block,
                                 uint64_t offset)
{
    FixedRamCopy *copy = QTAILQ_FIRST(&pool->idle);

    copy->block = block;
    copy->offset = offset;
    copy->ready = false;
    QTAILQ_REMOVE(&pool->idle, copy, next);
    QTAILQ_INSERT_TAIL(&pool->busy, copy, next);
    g_hash_table_add(pool->by_place, copy);
    pool->used++;
    return copy;
}

FixedRamCopy *fixed_ram_pool_find(const FixedRamPool *pool, size_t block,
                                  uint64_t offset)
{
    FixedRamCopy place = { .block = block, .offset = offset };

    return g_hash_table_lookup(pool->by_place, &place);
}

const FixedRamCopy *fixed_ram_pool_oldest(const FixedRamPool *pool)
{
    return QTAILQ_FIRST(&pool->busy);
}

void fixed_ram_pool_remove(FixedRamPool *pool, FixedRamCopy *copy)
{
    g_hash_table_remove(pool->by_place, copy);
    QTAILQ_REMOVE(&pool->busy, copy, next);
    QTAILQ_INSERT_HEAD(&pool->idle, copy, next);
    pool->used--;
}
