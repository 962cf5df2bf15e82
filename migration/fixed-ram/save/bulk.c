/*
 * fixed-ram: save the memory of a stopped guest at the speed of the disk
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/host-utils.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "bulk.h"
#include "scan.h"
#include "../trace.h"
#include "../util/thread.h"
#include "../util/throttle.h"
#include "writer.h"

/* Disks like large writes; a buffered write should fit the CPU's cache. */
#define SLICE_DIRECT        (4 * MiB)
#define SLICE_BUFFERED      (1 * MiB)
/* Memory that is frozen is let go in such pieces: huge pages stay whole. */
#define PIECE_LIVE          (2 * MiB)
/* How far a saver looks for the next memory that may hold data. */
#define STRETCH             (1 * GiB)
/*
 * Each saver has two slices in memory.  More than a few savers make no disk
 * faster, but the user may ask for some more.
 */
#define WORKERS_DEFAULT     4
#define WORKERS_MAX         16

typedef struct Block {
    FixedRamBulkBlock b;
    FixedRamPopulated *populated;
    size_t first_slice;         /* its number among those of all blocks */
} Block;

struct FixedRamBulk {
    /* Fixed before the savers start */
    FixedRamBulkConfig config;
    Block *blocks;
    size_t nblocks;
    size_t slice_bytes;
    size_t slices;              /* of all blocks */
    unsigned long *filled;      /* frozen: a bit for each slice, set if it */
                                /* has pages to save; else NULL */

    /* The caller's thread only */
    QemuThread threads[WORKERS_MAX];
    unsigned nthreads;

    /* All savers and the caller, atomic */
    size_t next;                /* the first slice that no saver has taken */
    unsigned long *untaken;     /* frozen: a bit for each slice, because */
                                /* some are taken out of order; else NULL */
    bool stopping;              /* savers take no more slices */
    bool abandoned;             /* savers write nothing more */
    FixedRamBulkProgress progress;

    FixedRamThrottle throttle;  /* has its own lock */

    QemuMutex lock;             /* guards the fields below */
    QemuCond ended;             /* a saver has ended */
    unsigned running;           /* savers that have not ended */
    Error *error;               /* the first one */
};

/*
 * A part of a block that one saver saves at once, and the memory before it for
 * which the kernel has no pages.
 */
typedef struct Slice {
    const Block *block;
    uint64_t zeros;             /* bytes before @offset; all are zero */
    uint64_t offset;            /* in the block */
    uint64_t length;            /* 0: there is only memory that is zero */
    FixedRamScan scan;
} Slice;

/* What the threads need of one slice after the other. */
typedef struct Saver {
    FixedRamBulk *bulk;
    FixedRamWriter *writer;
    unsigned long *populated;   /* a bit for each page of a slice */
    unsigned long *copied;
    unsigned long *same;        /* see FixedRamScan */
} Saver;

static const Block *find_block(const FixedRamBulk *bulk, size_t number)
{
    const Block *block = &bulk->blocks[bulk->nblocks - 1];

    while (number < block->first_slice) {
        block--;
    }
    return block;
}

/*
 * Memory that was absent at the freeze is not saved, and page tables may have
 * changed since.
 */
static uint64_t next_data(const FixedRamBulk *bulk, const Block *block,
                          uint64_t start, uint64_t end)
{
    uint64_t slice;

    if (!bulk->config.live) {
        return fixed_ram_populated_next(block->populated, start, end);
    }
    slice = find_next_bit(bulk->filled, block->first_slice +
                          DIV_ROUND_UP(end, bulk->slice_bytes),
                          block->first_slice + start / bulk->slice_bytes);
    return MIN((slice - block->first_slice) * bulk->slice_bytes, end);
}

/* What is saved next if slice @number is the first that has not been taken. */
static void look_ahead(const FixedRamBulk *bulk, size_t number, Slice *slice)
{
    const Block *block = find_block(bulk, number);
    uint64_t start = (number - block->first_slice) * bulk->slice_bytes;
    uint64_t end = MIN(block->b.mem.length, start + STRETCH);
    uint64_t data = next_data(bulk, block, start, end);

    QEMU_BUILD_BUG_ON(STRETCH % SLICE_DIRECT || STRETCH % SLICE_BUFFERED ||
                      STRETCH % PIECE_LIVE);
    slice->block = block;
    slice->offset = ROUND_DOWN(data, bulk->slice_bytes);
    slice->zeros = slice->offset - start;
    slice->length = MIN(end - slice->offset, bulk->slice_bytes);
}

/* Is slice @number this saver's?  Otherwise another one has taken it. */
static bool take_slice(FixedRamBulk *bulk, size_t number)
{
    return !bulk->untaken ||
           bitmap_test_and_clear_atomic(bulk->untaken, number, 1);
}

/* A slice that has to be saved before its turn. */
static bool urgent_slice(FixedRamBulk *bulk, Slice *slice)
{
    uint64_t offset;
    size_t i, number;

    if (!bulk->config.live || qatomic_read(&bulk->stopping) ||
        !fixed_ram_live_urgent(bulk->config.live, &i, &offset)) {
        return false;
    }
    number = offset / bulk->slice_bytes;
    *slice = (Slice) {
        .block = &bulk->blocks[i],
        .offset = number * bulk->slice_bytes,
    };
    slice->length = MIN(slice->block->b.mem.length - slice->offset,
                        bulk->slice_bytes);
    return take_slice(bulk, slice->block->first_slice + number);
}

/* Returns false if there is no slice left, or no more are wanted. */
static bool next_in_order(FixedRamBulk *bulk, Slice *slice)
{
    size_t number, slices, seen = qatomic_read(&bulk->next);

    do {
        number = seen;
        if (qatomic_read(&bulk->stopping) || number >= bulk->slices) {
            return false;
        }
        look_ahead(bulk, number, slice);
        slices = DIV_ROUND_UP(slice->zeros + slice->length, bulk->slice_bytes);
        /* Another saver may have taken it meanwhile. */
        seen = qatomic_cmpxchg(&bulk->next, number, number + slices);
    } while (seen != number);
    if (slice->length && !take_slice(bulk, number + slices - 1)) {
        slice->length = 0;
    }
    return true;
}

static bool next_slice(FixedRamBulk *bulk, Slice *slice)
{
    return urgent_slice(bulk, slice) || next_in_order(bulk, slice);
}

/* Full words are frequent, and the host may have no instruction to count. */
static uint64_t count_bits(const unsigned long *bits, uint64_t n)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < n / BITS_PER_LONG; i++) {
        count += ~bits[i] ? ctpopl(bits[i]) : BITS_PER_LONG;
    }
    return count + (n % BITS_PER_LONG
                    ? bitmap_count_one(bits + n / BITS_PER_LONG,
                                       n % BITS_PER_LONG) : 0);
}

/* The bits in the file's bitmap are clear already. */
static void skip_zeros(FixedRamBulk *bulk, const Slice *slice)
{
    size_t page_size = bulk->config.page_size;
    uint64_t first = (slice->offset - slice->zeros) / page_size;
    uint64_t pages = slice->zeros / page_size;
    unsigned long *todo = slice->block->b.todo;
    uint64_t wanted = count_bits(todo + BIT_WORD(first), pages);

    bitmap_clear(todo, first, pages);
    qatomic_add(&bulk->progress.zero_pages, wanted);
    trace_fixed_ram_bulk_slice(slice->block->b.name,
                               slice->offset - slice->zeros, wanted, 0);
}

/* No two slices share a word of a bitmap, so savers need no atomic access. */
static void prepare_scan(const Saver *saver, Slice *slice)
{
    size_t page_size = saver->bulk->config.page_size;
    uint64_t first = slice->offset / page_size;

    slice->scan = (FixedRamScan) {
        .mem = slice->block->b.mem.host + slice->offset,
        .pages = slice->length / page_size,
        .page_size = page_size,
        .wanted = slice->block->b.todo + BIT_WORD(first),
        .populated = saver->populated,
        .data = slice->block->b.data + BIT_WORD(first),
        .sums = slice->block->b.sums,
        .first = first,
        .delta = slice->block->b.delta,
        .same = saver->same,
    };
}

static bool write_run(FixedRamBulk *bulk, FixedRamWriter *w, size_t first,
                      size_t end, Error **errp)
{
    size_t page_size = bulk->config.page_size;
    uint64_t length = (end - first) * page_size;

    fixed_ram_throttle_wait(&bulk->throttle, length);
    qatomic_add(&bulk->progress.bytes, length);
    return fixed_ram_writer_put(w, first * page_size, length, errp);
}

static bool write_slice(FixedRamBulk *bulk, FixedRamWriter *w,
                         const Slice *slice, Error **errp)
{
    size_t first, end = 0;

    while (!qatomic_read(&bulk->abandoned) &&
           fixed_ram_scan_next_run(&slice->scan, end, &first, &end)) {
        if (!write_run(bulk, w, first, end, errp)) {
            return false;
        }
    }
    return true;
}

static void account(FixedRamBulk *bulk, const Slice *slice, size_t found)
{
    size_t wanted = bitmap_count_one(slice->scan.wanted, slice->scan.pages);
    uint64_t first = slice->scan.first;

    qatomic_add(&bulk->progress.data_pages, found);
    qatomic_add(&bulk->progress.zero_pages, wanted - found);
    bitmap_clear(slice->block->b.todo, first, slice->scan.pages);
    trace_fixed_ram_bulk_slice(slice->block->b.name, slice->offset, wanted,
                               found);
}

/* The part of a slice from its page @first on. */
static FixedRamScan scan_part(const FixedRamScan *scan, size_t first,
                              size_t pages)
{
    FixedRamScan part = *scan;

    part.mem += first * scan->page_size;
    part.buf += first * scan->page_size;
    part.pages = pages;
    part.wanted += BIT_WORD(first);
    part.populated += BIT_WORD(first);
    part.copied += BIT_WORD(first);
    part.data += BIT_WORD(first);
    part.same += BIT_WORD(first);
    part.first += first;
    return part;
}

/* Copy what the memory held at the freeze, and let it go piece by piece. */
static bool scan_frozen(const Saver *saver, Slice *slice, size_t *found,
                        Error **errp)
{
    FixedRamBulk *bulk = saver->bulk;
    size_t page_size = bulk->config.page_size;
    size_t step = MAX(PIECE_LIVE / page_size, BITS_PER_LONG);
    size_t block = slice->block - bulk->blocks;
    bool ok = true;

    bitmap_fill(saver->populated, slice->scan.pages);
    fixed_ram_live_take(bulk->config.live, block, slice->offset, slice->length,
                        slice->scan.buf, saver->copied);
    slice->scan.copied = saver->copied;
    for (size_t page = 0; page < slice->scan.pages; page += step) {
        FixedRamScan part = scan_part(&slice->scan, page,
                                      MIN(step, slice->scan.pages - page));

        /* After a failure, too, no thread may wait for this slice. */
        ok = ok && fixed_ram_scan(&part, found, errp);
        fixed_ram_live_give(bulk->config.live, block,
                            slice->offset + page * page_size,
                            part.pages * page_size);
    }
    return ok;
}

static bool scan_slice(const Saver *saver, Slice *slice, size_t *found,
                       Error **errp)
{
    if (saver->bulk->config.live) {
        return scan_frozen(saver, slice, found, errp);
    }
    fixed_ram_populated_get(slice->block->populated, slice->offset,
                            slice->length, saver->populated);
    return fixed_ram_scan(&slice->scan, found, errp);
}

static bool save_slice(const Saver *saver, Slice *slice, Error **errp)
{
    FixedRamBulk *bulk = saver->bulk;
    FixedRamWriterPlace place = {
        .block = slice->block->b.name,
        .block_offset = slice->offset,
        .file_offset = slice->block->b.pages_offset + slice->offset,
    };
    size_t found = 0;

    if (slice->zeros) {
        skip_zeros(bulk, slice);
    }
    if (!slice->length) {
        return true;
    }
    prepare_scan(saver, slice);
    if (bitmap_empty(slice->scan.wanted, slice->scan.pages)) {
        return true;
    }
    slice->scan.buf = fixed_ram_writer_begin(saver->writer, &place, errp);
    if (!slice->scan.buf) {
        return false;
    }
    if (!scan_slice(saver, slice, &found, errp) ||
        !write_slice(bulk, saver->writer, slice, errp)) {
        return false;
    }
    account(bulk, slice, found);
    return true;
}

static bool save_slices(FixedRamBulk *bulk, Error **errp)
{
    const FixedRamBulkConfig *c = &bulk->config;
    size_t pages = bulk->slice_bytes / c->page_size;
    g_autofree unsigned long *populated = bitmap_new(pages);
    g_autofree unsigned long *copied = bitmap_new(pages);
    g_autofree unsigned long *same = bitmap_new(pages);
    Saver saver = {
        .bulk = bulk,
        .populated = populated,
        .copied = copied,
        .same = same,
        .writer = fixed_ram_writer_new(c->fd, c->name, c->direct,
                                       c->buffered_fd, bulk->slice_bytes,
                                       errp),
    };
    bool ok = saver.writer;
    Slice slice;

    while (ok && next_slice(bulk, &slice)) {
        ok = save_slice(&saver, &slice, errp);
    }
    if (ok && !qatomic_read(&bulk->abandoned)) {
        ok = fixed_ram_writer_flush(saver.writer, errp);
    }
    fixed_ram_writer_free(saver.writer);
    return ok;
}

static void *bulk_thread(void *opaque)
{
    FixedRamBulk *bulk = opaque;
    Error *err = NULL;

    save_slices(bulk, &err);
    QEMU_LOCK_GUARD(&bulk->lock);
    if (err) {
        qatomic_set(&bulk->stopping, true);
        fixed_ram_throttle_stop(&bulk->throttle);
        error_propagate(&bulk->error, err);
    }
    bulk->running--;
    qemu_cond_broadcast(&bulk->ended);
    return NULL;
}

static void add_block(FixedRamBulk *bulk, const FixedRamBulkBlock *from)
{
    Block *block = &bulk->blocks[bulk->nblocks++];

    block->b = *from;
    block->populated = fixed_ram_populated_new(&from->mem,
                                               bulk->config.page_size);
    block->first_slice = bulk->slices;
    bulk->slices += DIV_ROUND_UP(from->mem.length, bulk->slice_bytes);
}

/*
 * File systems serialize writes that extend a file, so set its length first.
 * The file never ends up too long: the stream's tail follows the last block.
 */
static bool extend_file(FixedRamBulk *bulk, Error **errp)
{
    const FixedRamBulkConfig *c = &bulk->config;
    uint64_t end = 0;
    struct stat st;

    for (size_t i = 0; i < bulk->nblocks; i++) {
        const FixedRamBulkBlock *b = &bulk->blocks[i].b;

        end = MAX(end, b->pages_offset + b->mem.length);
    }
    if (fstat(c->fd, &st) || (st.st_size < end && ftruncate(c->fd, end))) {
        error_setg_errno(errp, errno, "snapshot '%s': cannot extend the file "
                         "to 0x%" PRIx64 " bytes", c->name, end);
        return false;
    }
    return true;
}

/* Where the guest goes on a CPU is left to it. */
static unsigned worker_count(const FixedRamBulkConfig *config)
{
    unsigned cpus = g_get_num_processors();

    if (config->workers) {
        return MIN(config->workers, WORKERS_MAX);
    }
    return MIN(config->live ? MAX(cpus - 1, 1) : MAX(cpus, 2),
               WORKERS_DEFAULT);
}

static bool start_thread(FixedRamBulk *bulk)
{
    bool ok;

    /* The saver counts itself out when it ends, so count it in before. */
    QEMU_LOCK_GUARD(&bulk->lock);
    ok = fixed_ram_thread_create(&bulk->threads[bulk->nthreads],
                                 "fixed-ram/save", bulk_thread, bulk,
                                 QEMU_THREAD_JOINABLE, NULL);
    bulk->nthreads += ok;
    bulk->running += ok;
    return ok;
}

/* The host may allow fewer threads; the caller saves what none has saved. */
static void start_threads(FixedRamBulk *bulk)
{
    unsigned wanted = worker_count(&bulk->config);

    while (bulk->nthreads < wanted && start_thread(bulk)) {
        /* and another one */
    }
}

static size_t slice_bytes(const FixedRamBulkConfig *config)
{
    size_t least = config->live ? PIECE_LIVE : SLICE_BUFFERED;

    return MAX(config->direct ? SLICE_DIRECT : least,
               BITS_PER_LONG * config->page_size);
}

static void plan_frozen(FixedRamBulk *bulk)
{
    bulk->filled = bitmap_new(bulk->slices);
    bulk->untaken = bitmap_new(bulk->slices);
    bitmap_fill(bulk->untaken, bulk->slices);
    for (size_t number = 0; number < bulk->slices; number++) {
        const Block *block = find_block(bulk, number);
        uint64_t pages = block->b.mem.length / bulk->config.page_size;
        uint64_t per_slice = bulk->slice_bytes / bulk->config.page_size;
        uint64_t first = (number - block->first_slice) * per_slice;
        uint64_t end = MIN(first + per_slice, pages);

        if (find_next_bit(block->b.todo, end, first) < end) {
            set_bit(number, bulk->filled);
        }
    }
}

FixedRamBulk *fixed_ram_bulk_start(const FixedRamBulkConfig *config,
                                   const FixedRamBulkBlock *blocks,
                                   size_t nblocks, Error **errp)
{
    FixedRamBulk *bulk = g_new0(FixedRamBulk, 1);

    bulk->config = *config;
    bulk->slice_bytes = slice_bytes(config);
    qemu_mutex_init(&bulk->lock);
    qemu_cond_init(&bulk->ended);
    fixed_ram_throttle_init(&bulk->throttle, config->bandwidth,
                            config->opaque);
    bulk->blocks = g_new0(Block, nblocks);
    for (size_t i = 0; i < nblocks; i++) {
        add_block(bulk, &blocks[i]);
    }
    if (!extend_file(bulk, errp)) {
        fixed_ram_bulk_free(bulk);
        return NULL;
    }
    if (config->live) {
        plan_frozen(bulk);
    }
    start_threads(bulk);
    return bulk;
}

bool fixed_ram_bulk_wait(FixedRamBulk *bulk, int timeout_ms)
{
    int64_t until = get_clock() + (int64_t)timeout_ms * SCALE_MS;

    QEMU_LOCK_GUARD(&bulk->lock);
    while (bulk->running && get_clock() < until) {
        qemu_cond_timedwait(&bulk->ended, &bulk->lock, timeout_ms);
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
    qatomic_set(&bulk->stopping, true);
    fixed_ram_throttle_stop(&bulk->throttle);
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
    g_free(bulk->filled);
    g_free(bulk->untaken);
    fixed_ram_throttle_destroy(&bulk->throttle);
    qemu_cond_destroy(&bulk->ended);
    qemu_mutex_destroy(&bulk->lock);
    g_free(bulk);
}
