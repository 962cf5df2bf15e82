/*
 * fixed-ram: memory that nobody writes to, saved at the speed of the disk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/lockable.h"
#include "qemu/ratelimit.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "bulk.h"
#include "scan.h"
#include "../trace.h"
#include "writer.h"

/* Large writes suit a disk; what passes through a CPU's cache is smaller. */
#define EXTENT_DIRECT       (4 * MiB)
#define EXTENT_BUFFERED     (1 * MiB)
/*
 * Each has two extents in memory.  Beyond a few workers no disk gets any
 * faster, but who asks for some more has them.
 */
#define WORKERS_DEFAULT     4
#define WORKERS_MAX         16
#define BANDWIDTH_SLICE_NS  (100 * SCALE_MS)

typedef struct Block {
    FixedRamBulkBlock b;
    FixedRamPopulated *populated;
    size_t first_extent;
} Block;

struct FixedRamBulk {
    FixedRamBulkConfig config;
    Block *blocks;
    size_t nblocks;
    size_t extent_bytes;
    size_t extents;             /* of all blocks */
    size_t next;                /* the first that nobody has taken; atomic */
    bool stopping;              /* take no more; atomic */
    bool abandoned;             /* nor write what was taken; atomic */
    FixedRamBulkProgress progress;  /* atomic */
    RateLimit limit;            /* has its own lock */
    QemuThread threads[WORKERS_MAX];
    unsigned nthreads;

    QemuMutex lock;             /* guards what follows */
    QemuCond changed;
    unsigned running;           /* threads that have not ended */
    uint64_t bandwidth;
    Error *error;               /* the first one */
};

typedef struct Extent {
    const Block *block;
    uint64_t offset;
    uint64_t length;
    FixedRamScan scan;
} Extent;

/* False: there are no more. */
static bool next_extent(FixedRamBulk *bulk, Extent *e)
{
    const Block *block;
    size_t number;

    if (qatomic_read(&bulk->stopping)) {
        return false;
    }
    number = qatomic_fetch_inc(&bulk->next);
    if (number >= bulk->extents) {
        return false;
    }
    block = &bulk->blocks[bulk->nblocks - 1];
    while (number < block->first_extent) {
        block--;
    }
    e->block = block;
    e->offset = (number - block->first_extent) * bulk->extent_bytes;
    e->length = MIN(block->b.mem.length - e->offset, bulk->extent_bytes);
    return true;
}

/* Words of bitmaps are those of one extent only. */
static void prepare_scan(const FixedRamBulk *bulk, Extent *e,
                         const unsigned long *populated)
{
    size_t page_size = bulk->config.page_size;
    uint64_t first = e->offset / page_size;

    e->scan = (FixedRamScan) {
        .mem = e->block->b.mem.host + e->offset,
        .pages = e->length / page_size,
        .page_size = page_size,
        .wanted = e->block->b.todo + BIT_WORD(first),
        .populated = populated,
        .data = e->block->b.data + BIT_WORD(first),
        .sums = e->block->b.sums,
        .first = first,
    };
}

static void keep_bandwidth(FixedRamBulk *bulk, uint64_t bytes)
{
    uint64_t speed;
    int64_t until;

    QEMU_LOCK_GUARD(&bulk->lock);
    speed = bulk->bandwidth;
    ratelimit_set_speed(&bulk->limit, speed, BANDWIDTH_SLICE_NS);
    until = get_clock() + ratelimit_calculate_delay(&bulk->limit, bytes);
    while (!bulk->stopping && bulk->bandwidth == speed &&
           get_clock() < until) {
        qemu_cond_timedwait(&bulk->changed, &bulk->lock,
                            BANDWIDTH_SLICE_NS / SCALE_MS);
    }
}

static bool write_run(FixedRamBulk *bulk, FixedRamWriter *w, size_t first,
                      size_t end, Error **errp)
{
    size_t page_size = bulk->config.page_size;
    uint64_t length = (end - first) * page_size;

    keep_bandwidth(bulk, length);
    qatomic_add(&bulk->progress.bytes, length);
    return fixed_ram_writer_put(w, first * page_size, length, errp);
}

static bool write_extent(FixedRamBulk *bulk, FixedRamWriter *w,
                         const Extent *e, Error **errp)
{
    size_t first, end = 0;

    while (!qatomic_read(&bulk->abandoned) &&
           fixed_ram_scan_next_run(&e->scan, end, &first, &end)) {
        if (!write_run(bulk, w, first, end, errp)) {
            return false;
        }
    }
    return true;
}

static void account(FixedRamBulk *bulk, const Extent *e, size_t found)
{
    size_t wanted = bitmap_count_one(e->scan.wanted, e->scan.pages);
    uint64_t first = e->scan.first;

    qatomic_add(&bulk->progress.data_pages, found);
    qatomic_add(&bulk->progress.zero_pages, wanted - found);
    bitmap_clear(e->block->b.todo, first, e->scan.pages);
    trace_fixed_ram_bulk_extent(e->block->b.name, e->offset, wanted, found);
}

static bool save_extent(FixedRamBulk *bulk, FixedRamWriter *w, Extent *e,
                        unsigned long *populated, Error **errp)
{
    FixedRamPlace place = {
        .block = e->block->b.name,
        .block_offset = e->offset,
        .file_offset = e->block->b.pages_offset + e->offset,
    };
    size_t found;

    prepare_scan(bulk, e, populated);
    if (find_first_bit(e->scan.wanted, e->scan.pages) == e->scan.pages) {
        return true;
    }
    fixed_ram_populated_get(e->block->populated, e->offset, e->length,
                            populated);
    e->scan.buf = fixed_ram_writer_begin(w, &place, errp);
    if (!e->scan.buf) {
        return false;
    }
    found = fixed_ram_scan(&e->scan);
    if (!write_extent(bulk, w, e, errp)) {
        return false;
    }
    account(bulk, e, found);
    return true;
}

static bool save_extents(FixedRamBulk *bulk, Error **errp)
{
    const FixedRamBulkConfig *c = &bulk->config;
    size_t pages = bulk->extent_bytes / c->page_size;
    g_autofree unsigned long *populated = bitmap_new(pages);
    FixedRamWriter *w = fixed_ram_writer_new(c->fd, c->name, c->direct,
                                             bulk->extent_bytes, errp);
    bool ok = w;
    Extent e;

    while (ok && next_extent(bulk, &e)) {
        ok = save_extent(bulk, w, &e, populated, errp);
    }
    if (ok && !qatomic_read(&bulk->abandoned)) {
        ok = fixed_ram_writer_flush(w, errp);
    }
    fixed_ram_writer_free(w);
    return ok;
}

static void *bulk_thread(void *opaque)
{
    FixedRamBulk *bulk = opaque;
    Error *err = NULL;

    save_extents(bulk, &err);
    QEMU_LOCK_GUARD(&bulk->lock);
    if (err) {
        qatomic_set(&bulk->stopping, true);
        error_propagate(&bulk->error, err);
    }
    bulk->running--;
    qemu_cond_broadcast(&bulk->changed);
    return NULL;
}

static void add_block(FixedRamBulk *bulk, const FixedRamBulkBlock *from)
{
    Block *block = &bulk->blocks[bulk->nblocks++];

    block->b = *from;
    block->populated = fixed_ram_populated_new(&from->mem,
                                               bulk->config.page_size);
    block->first_extent = bulk->extents;
    bulk->extents += DIV_ROUND_UP(from->mem.length, bulk->extent_bytes);
}

/*
 * A write that makes the file longer has it all to itself.  What the last
 * block's pages leave free the stream's end will follow in any case.
 */
static bool make_long(FixedRamBulk *bulk, Error **errp)
{
    const FixedRamBulkConfig *c = &bulk->config;
    uint64_t end = 0;
    struct stat st;

    for (size_t i = 0; i < bulk->nblocks; i++) {
        const FixedRamBulkBlock *b = &bulk->blocks[i].b;

        end = MAX(end, b->pages_offset + b->mem.length);
    }
    if (fstat(c->fd, &st) || (st.st_size < end && ftruncate(c->fd, end))) {
        error_setg_errno(errp, errno, "snapshot '%s': cannot be made 0x%"
                         PRIx64 " bytes long", c->name, end);
        return false;
    }
    return true;
}

static unsigned worker_count(const FixedRamBulkConfig *config)
{
    if (config->workers) {
        return MIN(config->workers, WORKERS_MAX);
    }
    return MIN(MAX(g_get_num_processors(), 2), WORKERS_DEFAULT);
}

static void start_threads(FixedRamBulk *bulk)
{
    bulk->nthreads = bulk->running = worker_count(&bulk->config);
    for (unsigned i = 0; i < bulk->nthreads; i++) {
        qemu_thread_create(&bulk->threads[i], "fixed-ram/save", bulk_thread,
                           bulk, QEMU_THREAD_JOINABLE);
    }
}

FixedRamBulk *fixed_ram_bulk_start(const FixedRamBulkConfig *config,
                                   const FixedRamBulkBlock *blocks,
                                   size_t nblocks, uint64_t bandwidth,
                                   Error **errp)
{
    FixedRamBulk *bulk = g_new0(FixedRamBulk, 1);

    bulk->config = *config;
    bulk->extent_bytes = MAX(config->direct ? EXTENT_DIRECT : EXTENT_BUFFERED,
                             BITS_PER_LONG * config->page_size);
    bulk->bandwidth = bandwidth;
    qemu_mutex_init(&bulk->lock);
    qemu_cond_init(&bulk->changed);
    ratelimit_init(&bulk->limit);
    bulk->blocks = g_new0(Block, nblocks);
    for (size_t i = 0; i < nblocks; i++) {
        add_block(bulk, &blocks[i]);
    }
    if (!make_long(bulk, errp)) {
        fixed_ram_bulk_free(bulk);
        return NULL;
    }
    start_threads(bulk);
    return bulk;
}

void fixed_ram_bulk_bandwidth(FixedRamBulk *bulk, uint64_t bandwidth)
{
    QEMU_LOCK_GUARD(&bulk->lock);
    if (bulk->bandwidth != bandwidth) {
        bulk->bandwidth = bandwidth;
        qemu_cond_broadcast(&bulk->changed);
    }
}

bool fixed_ram_bulk_wait(FixedRamBulk *bulk, int timeout_ms)
{
    int64_t until = get_clock() + (int64_t)timeout_ms * SCALE_MS;

    QEMU_LOCK_GUARD(&bulk->lock);
    while (bulk->running && get_clock() < until) {
        qemu_cond_timedwait(&bulk->changed, &bulk->lock, timeout_ms);
    }
    return !bulk->running;
}

void fixed_ram_bulk_progress(FixedRamBulk *bulk,
                             FixedRamBulkProgress *progress)
{
    progress->data_pages = qatomic_read(&bulk->progress.data_pages);
    progress->zero_pages = qatomic_read(&bulk->progress.zero_pages);
    progress->bytes = qatomic_read(&bulk->progress.bytes);
}

bool fixed_ram_bulk_finish(FixedRamBulk *bulk, Error **errp)
{
    WITH_QEMU_LOCK_GUARD(&bulk->lock) {
        qatomic_set(&bulk->stopping, true);
        qemu_cond_broadcast(&bulk->changed);
    }
    while (bulk->nthreads) {
        qemu_thread_join(&bulk->threads[--bulk->nthreads]);
    }
    if (bulk->error) {
        error_propagate(errp, g_steal_pointer(&bulk->error));
        return false;
    }
    return true;
}

void fixed_ram_bulk_free(FixedRamBulk *bulk)
{
    if (!bulk) {
        return;
    }
    qatomic_set(&bulk->abandoned, true);
    fixed_ram_bulk_finish(bulk, NULL);
    for (size_t i = 0; i < bulk->nblocks; i++) {
        fixed_ram_populated_free(bulk->blocks[i].populated);
    }
    g_free(bulk->blocks);
    ratelimit_destroy(&bulk->limit);
    qemu_cond_destroy(&bulk->changed);
    qemu_mutex_destroy(&bulk->lock);
    g_free(bulk);
}
