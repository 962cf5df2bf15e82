/*
 * fixed-ram: memory that is saved as it was at one moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "freeze.h"
#include "live.h"
#include "pool.h"
#include "../format/sums.h"
#include "../trace.h"
#include "../util/thread.h"

#define FAULT_THREADS   2
/* Before the stop so much is let go at once: huge pages stay whole. */
#define EXTENT          (2 * MiB)

typedef struct Block {
    FixedRamLiveBlock b;
    FixedRamPopulated *populated;
    uint64_t cluster;           /* bytes */
    /* live->lock guards the bitmaps: a bit for each cluster */
    unsigned long *claimed;
    unsigned long *settled;
    unsigned long *todo;        /* the caller's; NULL before the freeze */
} Block;

struct FixedRamLive {
    /* Fixed before the fault threads start */
    Block *blocks;
    size_t nblocks;
    size_t page_size;
    int64_t patience;           /* ns */
    FixedRamProtect protect;
    GPtrArray *huge;            /* extents that huge pages backed at first */
    QemuThread threads[FAULT_THREADS];
    unsigned nthreads;

    QemuMutex lock;             /* guards the fields below */
    QemuCond changed;           /* a copy is ready, or a buffer is free, or */
                                /* clusters are settled, or @ended is set */
    FixedRamPool *pool;
    unsigned waiting;           /* fault threads that wait for a buffer */
    int64_t taken;              /* when a saver last took a copy; ns */
    bool frozen;
    bool ended;
    bool lost;                  /* ended because the disk hangs */
};

/* A part of a block that is copied at once. */
typedef struct Cluster {
    Block *block;
    uint64_t number;
    uint64_t offset;
    uint64_t length;
    uint8_t *host;
} Cluster;

static Cluster get_cluster(Block *block, uint64_t number)
{
    uint64_t offset = number * block->cluster;

    return (Cluster) {
        .block = block,
        .number = number,
        .offset = offset,
        .length = MIN(block->cluster, block->b.mem.length - offset),
        .host = (uint8_t *)block->b.mem.host + offset,
    };
}

/* What is registered: whole pages of the host. */
static uint64_t host_length(const Block *block)
{
    return ROUND_UP(block->b.mem.length, block->b.host_page);
}

static Block *find_block(FixedRamLive *live, uintptr_t addr)
{
    for (size_t i = 0; i < live->nblocks; i++) {
        const FixedRamMemory *mem = &live->blocks[i].b.mem;

        if (addr - (uintptr_t)mem->host < mem->length) {
            return &live->blocks[i];
        }
    }
    return NULL;
}

/* Returns false if no page there is to be saved. */
static bool is_wanted(const FixedRamLive *live, const Cluster *c)
{
    uint64_t first = c->offset / live->page_size;
    uint64_t end = first + c->length / live->page_size;

    return find_next_bit(c->block->todo, end, first) < end;
}

/* Called with the lock held. */
static void settle(FixedRamLive *live, Block *block, uint64_t first,
                   uint64_t count)
{
    bitmap_set(block->settled, first, count);
    qemu_cond_broadcast(&live->changed);
}

/* Only what is to be saved: to read another page might allocate it. */
static void copy_pages(const FixedRamLive *live, const Cluster *c, uint8_t *to)
{
    size_t size = live->page_size;
    uint64_t first = c->offset / size, end = first + c->length / size;
    uint64_t page = first;

    while ((page = find_next_bit(c->block->todo, end, page)) < end) {
        size_t at = (page - first) * size;

        memcpy(to + at, c->host + at, size);
        page++;
    }
}

/*
 * Copy a cluster that this thread has claimed, with a buffer in the pool.
 * Called with the lock held, and releases it meanwhile.
 */
static void copy_cluster(FixedRamLive *live, const Cluster *c)
{
    FixedRamCopy *copy = fixed_ram_pool_add(live->pool, c->block - live->blocks,
                                            c->offset);

    qemu_mutex_unlock(&live->lock);
    copy_pages(live, c, copy->mem);
    qemu_mutex_lock(&live->lock);
    copy->ready = true;
}

/*
 * Savers have taken no copy since @begun, or since they last did.  Returns
 * false if that has lasted too long.  Called with the lock held, and releases
 * it meanwhile.
 */
static bool wait_for_buffer(FixedRamLive *live, int64_t begun)
{
    int64_t left = MAX(begun, live->taken) + live->patience - get_clock();

    if (left > 0) {
        qemu_cond_timedwait(&live->changed, &live->lock,
                            DIV_ROUND_UP(left, SCALE_MS));
    }
    return left > 0;
}

/*
 * Nothing is protected any more, and all threads that wait go on.  Called with
 * the lock held.
 */
static void let_all_go(FixedRamLive *live)
{
    live->ended = true;
    qemu_cond_broadcast(&live->changed);
    for (size_t i = 0; i < live->nblocks && live->protect.fd >= 0; i++) {
        fixed_ram_protect_unregister(&live->protect,
                                     (uint8_t *)live->blocks[i].b.mem.host,
                                     host_length(&live->blocks[i]));
    }
}

/*
 * Make sure that a cluster is claimed, if need be by this thread, which then
 * copies it.  Called with the lock held, and releases it meanwhile.
 */
static void save_cluster(FixedRamLive *live, const Cluster *c)
{
    unsigned long *claimed = c->block->claimed;
    int64_t begun = get_clock();

    /* Claim only with a buffer: a saver that comes here waits for the copy. */
    live->waiting++;
    while (!live->ended && !test_bit(c->number, claimed) &&
           is_wanted(live, c) && fixed_ram_pool_full(live->pool)) {
        if (!wait_for_buffer(live, begun) && !live->ended) {
            trace_fixed_ram_live_lost(live->patience / SCALE_MS);
            live->lost = true;
            let_all_go(live);
        }
    }
    live->waiting--;
    if (!live->ended && !test_and_set_bit(c->number, claimed)) {
        if (is_wanted(live, c)) {
            copy_cluster(live, c);
        }
        settle(live, c->block, c->number, 1);
    }
}

/*
 * The guest is about to stop.  The lock is held until the extent is no longer
 * protected: fixed_ram_live_freeze() must not protect it in between.
 */
static void let_go(FixedRamLive *live, const Block *block, uint64_t offset)
{
    uint64_t start = ROUND_DOWN(offset, EXTENT);

    fixed_ram_protect_clear(&live->protect,
                            (uint8_t *)block->b.mem.host + start,
                            MIN(EXTENT, block->b.mem.length - start));
}

/* A thread waits because it writes to @addr. */
static void serve(FixedRamLive *live, uintptr_t addr)
{
    Block *block = find_block(live, addr);
    uint64_t offset = block ? addr - (uintptr_t)block->b.mem.host : 0;
    bool settled;
    Cluster c;

    if (!block) {
        return;
    }
    c = get_cluster(block, offset / block->cluster);
    WITH_QEMU_LOCK_GUARD(&live->lock) {
        if (!live->frozen) {
            let_go(live, block, offset);
            return;
        }
        save_cluster(live, &c);
        settled = test_bit(c.number, block->settled);
    }
    /* What another thread still copies, that thread lets go. */
    if (settled) {
        trace_fixed_ram_live_fault(block->b.name, c.offset);
        fixed_ram_protect_clear(&live->protect, c.host, c.length);
    }
}

static void *fault_thread(void *opaque)
{
    FixedRamLive *live = opaque;
    uintptr_t addr;

    while (fixed_ram_protect_wait(&live->protect, &addr)) {
        serve(live, addr);
    }
    return NULL;
}

/*
 * For savers
 */

bool fixed_ram_live_urgent(FixedRamLive *live, size_t *block, uint64_t *offset)
{
    const FixedRamCopy *copy;

    QEMU_LOCK_GUARD(&live->lock);
    copy = fixed_ram_pool_oldest(live->pool);
    if (!copy || !(live->waiting || fixed_ram_pool_half(live->pool))) {
        return false;
    }
    *block = copy->block;
    *offset = copy->offset;
    return true;
}

/* Called with the lock held, and releases it meanwhile. */
static void move_copy(FixedRamLive *live, FixedRamCopy *copy, uint8_t *to,
                      uint64_t length)
{
    while (!copy->ready) {
        qemu_cond_wait(&live->changed, &live->lock);
    }
    qemu_mutex_unlock(&live->lock);
    memcpy(to, copy->mem, length);
    qemu_mutex_lock(&live->lock);
    fixed_ram_pool_remove(live->pool, copy);
    live->taken = get_clock();
    qemu_cond_broadcast(&live->changed);
}

void fixed_ram_live_take(FixedRamLive *live, size_t block, uint64_t offset,
                         uint64_t length, uint8_t *buf, unsigned long *copied)
{
    Block *b = &live->blocks[block];
    uint64_t first = offset / b->cluster;
    uint64_t end = DIV_ROUND_UP(offset + length, b->cluster);

    bitmap_zero(copied, length / live->page_size);
    QEMU_LOCK_GUARD(&live->lock);
    /* All at once: from here on no fault thread adds a copy. */
    bitmap_set(b->claimed, first, end - first);
    for (uint64_t i = first; i < end; i++) {
        Cluster c = get_cluster(b, i);
        FixedRamCopy *copy = fixed_ram_pool_find(live->pool, block, c.offset);

        if (copy) {
            move_copy(live, copy, buf + (c.offset - offset), c.length);
            bitmap_set(copied, (c.offset - offset) / live->page_size,
                       c.length / live->page_size);
        }
    }
}

void fixed_ram_live_give(FixedRamLive *live, size_t block, uint64_t offset,
                         uint64_t length)
{
    Block *b = &live->blocks[block];
    uint64_t first = offset / b->cluster;
    uint64_t end = DIV_ROUND_UP(offset + length, b->cluster);

    WITH_QEMU_LOCK_GUARD(&live->lock) {
        settle(live, b, first, end - first);
    }
    fixed_ram_protect_clear(&live->protect, (uint8_t *)b->b.mem.host + offset,
                            length);
}

/*
 * Discards
 */

/* Called with the lock held, and releases it meanwhile. */
static void keep_cluster(FixedRamLive *live, const Cluster *c)
{
    save_cluster(live, c);
    while (!live->ended && !test_bit(c->number, c->block->settled)) {
        qemu_cond_wait(&live->changed, &live->lock);
    }
}

void fixed_ram_live_keep(FixedRamLive *live, const uint8_t *host,
                         uint64_t length)
{
    Block *block = find_block(live, (uintptr_t)host);
    uint64_t offset, end;

    if (!block || !length) {
        return;
    }
    offset = host - block->b.mem.host;
    end = MIN(offset + length, block->b.mem.length);
    QEMU_LOCK_GUARD(&live->lock);
    if (!live->frozen) {
        return;
    }
    for (uint64_t i = offset / block->cluster; i * block->cluster < end; i++) {
        Cluster c = get_cluster(block, i);

        keep_cluster(live, &c);
    }
}

/*
 * The life of it
 */

static FixedRamFreezeBlock *freeze_blocks(const FixedRamLive *live)
{
    FixedRamFreezeBlock *blocks = g_new0(FixedRamFreezeBlock, live->nblocks);

    for (size_t i = 0; i < live->nblocks; i++) {
        blocks[i].mem = &live->blocks[i].b.mem;
        blocks[i].populated = live->blocks[i].populated;
        blocks[i].todo = live->blocks[i].todo;
    }
    return blocks;
}

static bool add_block(FixedRamLive *live, const FixedRamLiveBlock *from,
                      Error **errp)
{
    Block *block = &live->blocks[live->nblocks++];
    uint64_t size = MAX(FIXED_RAM_CLUSTER_BYTES, from->host_page);

    block->b = *from;
    block->cluster = size;
    block->populated = fixed_ram_populated_new(&from->mem, live->page_size);
    block->claimed = bitmap_new(DIV_ROUND_UP(from->mem.length, size));
    block->settled = bitmap_new(DIV_ROUND_UP(from->mem.length, size));
    if (from->host_page > FIXED_RAM_LIVE_PAGE_MAX) {
        error_setg(errp, "RAM block '%s' has pages of 0x%" PRIx64 " bytes, at "
                   "most 0x%" PRIx64 " can be saved live", from->name,
                   from->host_page, (uint64_t)FIXED_RAM_LIVE_PAGE_MAX);
        return false;
    }
    return true;
}

/* Is there private memory whose absent pages the kernel cannot tell? */
static bool needs_unpopulated(const FixedRamLive *live)
{
    for (size_t i = 0; i < live->nblocks; i++) {
        if (!fixed_ram_populated_known(live->blocks[i].populated)) {
            return true;
        }
    }
    return false;
}

/*
 * When memory is no longer registered the kernel looks at each of its pages,
 * and the guest waits.  A page of a block tells if the @whole can be protected.
 */
static bool register_blocks(FixedRamLive *live, bool whole, Error **errp)
{
    for (size_t i = 0; i < live->nblocks; i++) {
        Block *block = &live->blocks[i];

        if (!fixed_ram_protect_register(&live->protect, block->b.name,
                                        (uint8_t *)block->b.mem.host,
                                        whole ? host_length(block)
                                              : block->b.host_page, errp)) {
            return false;
        }
    }
    return true;
}

static bool make_pool(FixedRamLive *live, size_t pool_bytes, Error **errp)
{
    uint64_t size = FIXED_RAM_CLUSTER_BYTES;

    for (size_t i = 0; i < live->nblocks; i++) {
        size = MAX(size, live->blocks[i].cluster);
    }
    live->pool = fixed_ram_pool_new(pool_bytes / size, size, errp);
    return live->pool;
}

static bool add_blocks(FixedRamLive *live, const FixedRamLiveBlock *blocks,
                       size_t nblocks, Error **errp)
{
    live->blocks = g_new0(Block, nblocks);
    for (size_t i = 0; i < nblocks; i++) {
        if (!add_block(live, &blocks[i], errp)) {
            return false;
        }
    }
    return fixed_ram_protect_open(&live->protect, needs_unpopulated(live),
                                  errp);
}

static FixedRamLive *live_new(size_t page_size, unsigned patience_ms)
{
    FixedRamLive *live = g_new0(FixedRamLive, 1);

    qemu_mutex_init(&live->lock);
    qemu_cond_init(&live->changed);
    live->protect = (FixedRamProtect) { .fd = -1, .end = -1 };
    live->page_size = page_size;
    live->patience = patience_ms * (int64_t)SCALE_MS;
    return live;
}

FixedRamLive *fixed_ram_live_new(const FixedRamLiveBlock *blocks,
                                 size_t nblocks, size_t page_size,
                                 size_t pool_bytes, unsigned patience_ms,
                                 Error **errp)
{
    FixedRamLive *live = live_new(page_size, patience_ms);

    if (!add_blocks(live, blocks, nblocks, errp) ||
        !register_blocks(live, true, errp) ||
        !make_pool(live, pool_bytes, errp)) {
        fixed_ram_live_free(live);
        return NULL;
    }
    return live;
}

bool fixed_ram_live_check(const FixedRamLiveBlock *blocks, size_t nblocks,
                          size_t page_size, Error **errp)
{
    FixedRamLive *live = live_new(page_size, 0);
    bool ok = add_blocks(live, blocks, nblocks, errp) &&
              register_blocks(live, false, errp);

    /* This takes back what is registered, and looks at nothing else. */
    fixed_ram_protect_close(&live->protect);
    fixed_ram_live_free(live);
    return ok;
}

static GPtrArray *find_huge(const FixedRamLive *live)
{
    GPtrArray *extents = g_ptr_array_new();

    for (size_t i = 0; i < live->nblocks; i++) {
        fixed_ram_populated_huge(live->blocks[i].populated, extents);
    }
    return extents;
}

bool fixed_ram_live_arm(FixedRamLive *live, Error **errp)
{
    g_autofree FixedRamFreezeBlock *blocks = freeze_blocks(live);
    int ret;

    live->huge = find_huge(live);
    while (live->nthreads < FAULT_THREADS) {
        if (!fixed_ram_thread_create(&live->threads[live->nthreads],
                                     "fixed-ram/write", fault_thread, live,
                                     QEMU_THREAD_JOINABLE, errp)) {
            return false;
        }
        live->nthreads++;
    }
    ret = fixed_ram_freeze_early(&live->protect, blocks, live->nblocks);
    if (ret) {
        error_setg_errno(errp, -ret, "cannot write-protect the guest's RAM");
    }
    return !ret;
}

bool fixed_ram_live_freeze(FixedRamLive *live, unsigned long *const *todo,
                           Error **errp)
{
    g_autofree FixedRamFreezeBlock *blocks = NULL;
    int ret;

    WITH_QEMU_LOCK_GUARD(&live->lock) {
        for (size_t i = 0; i < live->nblocks; i++) {
            live->blocks[i].todo = todo[i];
        }
        live->frozen = true;
    }
    blocks = freeze_blocks(live);
    ret = fixed_ram_freeze(&live->protect, blocks, live->nblocks,
                           live->page_size);
    if (ret) {
        error_setg_errno(errp, -ret, "cannot write-protect the guest's RAM");
    }
    return !ret;
}

void fixed_ram_live_end(FixedRamLive *live)
{
    WITH_QEMU_LOCK_GUARD(&live->lock) {
        if (!live->ended) {
            let_all_go(live);
        }
    }
    if (live->nthreads) {
        fixed_ram_protect_end(&live->protect);
    }
    while (live->nthreads) {
        qemu_thread_join(&live->threads[--live->nthreads]);
    }
}

GPtrArray *fixed_ram_live_split(const FixedRamLive *live)
{
    g_autoptr(GHashTable) whole = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) now = find_huge(live);
    GPtrArray *split = g_ptr_array_new();

    for (size_t i = 0; i < now->len; i++) {
        g_hash_table_add(whole, g_ptr_array_index(now, i));
    }
    for (size_t i = 0; live->huge && i < live->huge->len; i++) {
        void *extent = g_ptr_array_index(live->huge, i);

        if (!g_hash_table_contains(whole, extent)) {
            g_ptr_array_add(split, extent);
        }
    }
    return split;
}

bool fixed_ram_live_lost(FixedRamLive *live)
{
    QEMU_LOCK_GUARD(&live->lock);
    return live->lost;
}

void fixed_ram_live_free(FixedRamLive *live)
{
    if (!live) {
        return;
    }
    fixed_ram_live_end(live);
    fixed_ram_protect_close(&live->protect);
    fixed_ram_pool_free(live->pool);
    g_clear_pointer(&live->huge, g_ptr_array_unref);
    for (size_t i = 0; i < live->nblocks; i++) {
        fixed_ram_populated_free(live->blocks[i].populated);
        g_free(live->blocks[i].claimed);
        g_free(live->blocks[i].settled);
    }
    g_free(live->blocks);
    qemu_cond_destroy(&live->changed);
    qemu_mutex_destroy(&live->lock);
    g_free(live);
}
