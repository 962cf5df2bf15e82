/*
 * fixed-ram: the engine that brings pages from a source into memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qemu/madvise.h"
#include "qemu/ratelimit.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "load.h"
#include "uffd.h"
#include "trace.h"

/*
 * Two readers keep each other's kernel work hidden; more only compete for
 * the descriptor's lock.
 */
#define FAULT_THREADS           2
/* What a fault brings at most: its neighbours are likely to be next. */
#define FAULT_BYTES             (64 * KiB)
/* What a loader reads at once: a word of 4 KiB pages. */
#define LOADER_BYTES            (256 * KiB)
/* How long a loader holds back for faults under way before each read. */
#define YIELD_STEP_US           50
#define YIELD_STEPS             20
#define BANDWIDTH_SLICE_NS      (100 * SCALE_MS)

typedef struct Worker {
    FixedRamLoad *load;
    QemuThread thread;
    bool started;
    bool fault;                 /* a fault thread, not a loader */
    bool gone;                  /* a fault thread that lost its descriptor */
    uint8_t *buf;               /* on demand: where pages are put together */
    FixedRamCursor cursor;      /* a loader's */
} Worker;

struct FixedRamLoad {
    FixedRamMap *map;
    FixedRamLoadConfig config;
    FixedRamUffd uffd;          /* on demand */
    bool registered;            /* it is open, blocks may be registered */
    size_t buf_size;            /* of a worker's buffer */
    Worker *workers;            /* fault threads first, then loaders */
    unsigned nworkers;
    RateLimit limit;            /* of loaders; has its own lock */
    FixedRamLoadStats stats;    /* atomic */

    FixedRamSource *source;     /* atomic; written under @lock */
    unsigned urgent;            /* faults being served; atomic */
    uint64_t notify_left;       /* notify when so much is left; atomic */
    bool stalled;               /* reads must not begin; atomic,
                                 * written under @lock */

    QemuMutex lock;             /* guards what follows */
    QemuCond cond;              /* what loaders wait for has changed */
    GSList *old_sources;        /* readers may be in them until the end */
    unsigned rewinds;           /* how often the map was rewound */
    bool guest_runs;
    bool failed;
    bool loaders_quit;
    Error *error;
};

static void load_notify(FixedRamLoad *load)
{
    load->config.ops->notify(load->config.opaque);
}

static void load_wake_all(FixedRamLoad *load)
{
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        fixed_ram_uffd_wake(&load->uffd, block->host, block->length);
    }
}

void fixed_ram_load_stall(FixedRamLoad *load, Error *err)
{
    bool release;

    WITH_QEMU_LOCK_GUARD(&load->lock) {
        trace_fixed_ram_stall(load->guest_runs, error_get_pretty(err));
        if (load->error) {
            error_free(err);
        } else {
            load->error = err;
        }
        load->failed = !load->guest_runs;
        release = load->failed && load->registered;
        qatomic_set(&load->stalled, true);
    }
    if (release) {
        /* The main thread may be waiting: it gets zeros and sees @failed. */
        load_wake_all(load);
    }
    load_notify(load);
}

static bool load_failed(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    return load->failed;
}

/* Fill @buf with what the block holds in @run. */
static bool read_run(FixedRamLoad *load, const FixedRamBlock *block,
                     const FixedRamRun *run, uint8_t *buf, Error **errp)
{
    FixedRamSource *source = qatomic_read(&load->source);
    uint64_t end = run->offset + run->length;
    uint64_t pos = run->offset;
    FixedRamRun data;

    while (fixed_ram_block_next_data(block, pos, end, &data)) {
        memset(buf + (pos - run->offset), 0, data.offset - pos);
        if (!fixed_ram_source_read_pages(source,
                                         buf + (data.offset - run->offset),
                                         data.length,
                                         block->pages_offset + data.offset,
                                         errp)) {
            error_prepend(errp, "block '%s' offset 0x%" PRIx64 " length 0x%"
                          PRIx64 ": ", block->name, data.offset, data.length);
            return false;
        }
        pos = data.offset + data.length;
    }
    memset(buf + (pos - run->offset), 0, end - pos);
    return true;
}

static bool place_run(FixedRamLoad *load, const FixedRamBlock *block,
                      const FixedRamRun *run, const uint8_t *buf,
                      Error **errp)
{
    int ret = fixed_ram_uffd_copy(&load->uffd, block->host + run->offset, buf,
                                  run->length, block->unit);

    /* ENOENT: the memory was unplugged, its pages are wanted no more. */
    if (ret < 0 && ret != -ENOENT) {
        error_setg_errno(errp, -ret, "block '%s' offset 0x%" PRIx64
                         " length 0x%" PRIx64 ": could not place pages",
                         block->name, run->offset, run->length);
        return false;
    }
    trace_fixed_ram_place(block->name, run->offset, run->length);
    return true;
}

/* The units of @part, at @run, are in place: tell whom it concerns. */
static void run_received(Worker *w, const FixedRamClaim *part,
                         const FixedRamRun *run)
{
    FixedRamLoad *load = w->load;
    const FixedRamLoadOps *ops = load->config.ops;
    uint64_t want = qatomic_read(&load->notify_left);
    bool last = fixed_ram_map_receive(load->map, part);

    qatomic_add(w->fault ? &load->stats.fault_bytes
                         : &load->stats.loader_bytes, run->length);
    if (ops->wait_end) {
        uintptr_t addr = (uintptr_t)part->block->host + run->offset;

        for (uint64_t i = 0; i < run->length; i += part->block->unit) {
            ops->wait_end(load->config.opaque, addr + i);
        }
    }
    if (last) {
        trace_fixed_ram_complete();
        load_notify(load);
    } else if (fixed_ram_map_left(load->map) <= want &&
               qatomic_cmpxchg(&load->notify_left, want, 0) == want && want) {
        load_notify(load);
    }
}

/*
 * Read and place the units of one claim; on failure those not placed are
 * missing again and the load stalls.
 */
static bool bring(Worker *w, FixedRamClaim *claim)
{
    FixedRamLoad *load = w->load;
    const FixedRamBlock *block = claim->block;
    FixedRamClaim part;
    FixedRamRun run;
    Error *err = NULL;

    trace_fixed_ram_claim(block->name, claim->word, claim->mask, w->fault);
    while (fixed_ram_claim_cut(claim, &part, &run)) {
        uint8_t *buf = w->buf ?: block->host + run.offset;

        if (!read_run(load, block, &run, buf, &err) ||
            (w->buf && !place_run(load, block, &run, buf, &err))) {
            fixed_ram_map_return(&part);
            fixed_ram_map_return(claim);
            fixed_ram_load_stall(load, err);
            return false;
        }
        run_received(w, &part, &run);
    }
    return true;
}

/* How many units of @block make up @bytes: a power of two, 64 at most. */
static unsigned units_in(const FixedRamBlock *block, uint64_t bytes)
{
    return MIN(MAX(bytes / block->unit, 1), BITS_PER_LONG);
}

static void place_zero(FixedRamLoad *load, const FixedRamBlock *block,
                       uint64_t offset)
{
    int ret = fixed_ram_uffd_zero(&load->uffd, block->host + offset,
                                  block->unit);

    trace_fixed_ram_place_zero(block->name, offset, ret);
    if (ret < 0 && ret != -ENOENT) {
        Error *err = NULL;

        error_setg_errno(&err, -ret, "block '%s' offset 0x%" PRIx64
                         ": could not place a page of zeros", block->name,
                         offset);
        fixed_ram_load_stall(load, err);
    }
}

/*
 * Somebody waits for the unit at @offset.  Whoever has claimed it already
 * will place it, and that wakes all who wait.
 */
static void serve_missing(Worker *w, FixedRamBlock *block, uint64_t offset)
{
    FixedRamLoad *load = w->load;
    uint64_t unit = offset / block->unit;
    FixedRamClaim claim;

    if (qatomic_read(&load->stalled)) {
        /*
         * A failed load releases who waits.  A stalled one lets them wait:
         * fixed_ram_load_recover() has them fault again.
         */
        if (load_failed(load)) {
            place_zero(load, block, offset);
        }
        return;
    }
    if (!fixed_ram_map_claim_around(block, unit,
                                    units_in(block, FAULT_BYTES), &claim)) {
        return;
    }
    qatomic_inc(&load->urgent);
    bring(w, &claim);
    qatomic_dec(&load->urgent);
}

static void serve_fault(Worker *w, const FixedRamFault *fault)
{
    FixedRamLoad *load = w->load;
    const FixedRamLoadOps *ops = load->config.ops;
    FixedRamBlock *block = fixed_ram_map_find(load->map, fault->addr);
    int64_t start = get_clock();
    uint64_t offset;
    uintptr_t addr;

    if (!block) {
        return;
    }
    offset = ROUND_DOWN(fault->addr - (uintptr_t)block->host, block->unit);
    addr = (uintptr_t)block->host + offset;
    trace_fixed_ram_fault(block->name, offset, fault->thread_id);
    qatomic_inc(&load->stats.faults);
    if (ops->wait_begin) {
        ops->wait_begin(load->config.opaque, addr, fault->thread_id);
        smp_mb();               /* pairs with fixed_ram_map_receive() */
    }

    if (fixed_ram_map_received(block, offset / block->unit)) {
        /* Zero from the start, or discarded by the guest since. */
        place_zero(load, block, offset);
    } else {
        serve_missing(w, block, offset);
    }
    if (fixed_ram_map_received(block, offset / block->unit)) {
        if (ops->wait_end) {
            ops->wait_end(load->config.opaque, addr);
        }
        fixed_ram_latency_add(&load->stats.latency, get_clock() - start);
    }
}

static void *fault_thread(void *opaque)
{
    Worker *w = opaque;
    FixedRamLoad *load = w->load;
    FixedRamFault fault;

    while (true) {
        int ret = fixed_ram_uffd_read(&load->uffd, &fault);

        if (ret < 0) {
            Error *err = NULL;

            error_setg_errno(&err, -ret, "could not read page faults");
            qatomic_set(&w->gone, true);
            fixed_ram_load_stall(load, err);
            break;
        }
        if (fixed_ram_uffd_answer(&load->uffd, &fault)) {
            break;
        }
        serve_fault(w, &fault);
    }
    return NULL;
}

/* A disk serves one after the other: let whoever waits go first. */
static void yield_to_faults(FixedRamLoad *load)
{
    for (int i = 0; i < YIELD_STEPS && qatomic_read(&load->urgent); i++) {
        g_usleep(YIELD_STEP_US);
    }
}

/* Wait as long as the bandwidth for loaders says.  False: quit. */
static bool keep_bandwidth(FixedRamLoad *load, uint64_t bytes)
{
    const FixedRamLoadOps *ops = load->config.ops;
    int64_t delay;

    QEMU_LOCK_GUARD(&load->lock);
    if (ops->bandwidth && load->guest_runs) {
        ratelimit_set_speed(&load->limit, ops->bandwidth(load->config.opaque),
                            BANDWIDTH_SLICE_NS);
        delay = ratelimit_calculate_delay(&load->limit, bytes);
        if (delay > 0 && !load->loaders_quit) {
            qemu_cond_timedwait(&load->cond, &load->lock,
                                DIV_ROUND_UP(delay, SCALE_MS));
        }
    }
    return !load->loaders_quit;
}

/*
 * Wait while the load is stalled, or while all has been claimed and nobody
 * has given anything back.  False: quit.
 */
static bool wait_for_work(FixedRamLoad *load, bool exhausted,
                          unsigned *rewinds)
{
    QEMU_LOCK_GUARD(&load->lock);
    while (!load->loaders_quit &&
           (load->stalled || (exhausted && *rewinds == load->rewinds))) {
        qemu_cond_wait(&load->cond, &load->lock);
    }
    *rewinds = load->rewinds;
    return !load->loaders_quit;
}

static void *loader_thread(void *opaque)
{
    Worker *w = opaque;
    FixedRamLoad *load = w->load;
    unsigned rewinds = 0;
    FixedRamClaim claim;
    bool ok = true;

    while (ok) {
        yield_to_faults(load);
        if (qatomic_read(&load->stalled)) {
            ok = wait_for_work(load, false, &rewinds);
        } else if (fixed_ram_map_claim_next(load->map, &w->cursor,
                                            LOADER_BYTES, &claim)) {
            uint64_t bytes = ctpop64(claim.mask) * claim.block->unit;

            bring(w, &claim);
            ok = keep_bandwidth(load, bytes);
        } else {
            ok = wait_for_work(load, true, &rewinds);
        }
    }
    return NULL;
}

/* A buffer holds what is claimed at once, or one unit if that is larger. */
static size_t buffer_size(const FixedRamMap *map)
{
    size_t size = LOADER_BYTES;

    for (size_t i = 0; i < map->blocks->len; i++) {
        size = MAX(size, fixed_ram_map_block(map, i)->unit);
    }
    return size;
}

FixedRamLoad *fixed_ram_load_new(FixedRamMap *map, FixedRamSource *source,
                                 const FixedRamLoadConfig *config)
{
    FixedRamLoad *load = g_new0(FixedRamLoad, 1);
    unsigned faults = config->on_demand ? FAULT_THREADS : 0;

    QEMU_BUILD_BUG_ON(FAULT_THREADS > FIXED_RAM_UFFD_BELLS);

    load->map = map;
    load->source = source;
    load->config = *config;
    load->uffd.fd = -1;
    qemu_mutex_init(&load->lock);
    qemu_cond_init(&load->cond);
    ratelimit_init(&load->limit);
    load->nworkers = faults + config->loaders;
    load->workers = g_new0(Worker, load->nworkers);
    for (unsigned i = 0; i < load->nworkers; i++) {
        load->workers[i].load = load;
        load->workers[i].fault = i < faults;
    }
    return load;
}

/* Each worker's own; no memory is taken before it is used. */
static bool alloc_buffers(FixedRamLoad *load, Error **errp)
{
    load->buf_size = buffer_size(load->map);
    for (unsigned i = 0; i < load->nworkers; i++) {
        void *buf = mmap(NULL, load->buf_size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (buf == MAP_FAILED) {
            error_setg_errno(errp, errno, "no memory for a buffer of %zu "
                             "bytes", load->buf_size);
            return false;
        }
        /* A child must not make direct reads into it go astray. */
        qemu_madvise(buf, load->buf_size, QEMU_MADV_DONTFORK);
        load->workers[i].buf = buf;
    }
    return true;
}

bool fixed_ram_load_register(FixedRamLoad *load, Error **errp)
{
    ERRP_GUARD();

    assert(load->config.on_demand);
    if (!alloc_buffers(load, errp) ||
        !fixed_ram_uffd_open(&load->uffd, errp)) {
        return false;
    }
    load->registered = true;
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        if (!fixed_ram_uffd_register(&load->uffd, block->host, block->length,
                                     errp)) {
            error_prepend(errp, "block '%s': ", block->name);
            return false;
        }
    }
    return true;
}

void fixed_ram_load_start(FixedRamLoad *load)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        Worker *w = &load->workers[i];

        qemu_thread_create(&w->thread, w->fault ? "fixed-ram/fault"
                                                : "fixed-ram/load",
                           w->fault ? fault_thread : loader_thread, w,
                           QEMU_THREAD_JOINABLE);
        w->started = true;
    }
}

FixedRamLoadState fixed_ram_load_state(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    if (load->failed) {
        return FIXED_RAM_LOAD_FAILED;
    }
    if (!fixed_ram_map_left(load->map)) {
        return FIXED_RAM_LOAD_COMPLETE;
    }
    return load->stalled ? FIXED_RAM_LOAD_STALLED : FIXED_RAM_LOAD_ACTIVE;
}

Error *fixed_ram_load_error(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    return load->error ? error_copy(load->error) : NULL;
}

void fixed_ram_load_notify_below(FixedRamLoad *load, uint64_t left)
{
    qatomic_set(&load->notify_left, left);
    smp_mb();                   /* pairs with fixed_ram_map_receive() */
    if (fixed_ram_map_left(load->map) <= left) {
        load_notify(load);
    }
}

bool fixed_ram_load_guest_runs(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    load->guest_runs = !load->failed;
    return load->guest_runs;
}

void fixed_ram_load_recover(FixedRamLoad *load, FixedRamSource *source)
{
    trace_fixed_ram_recover(source->name);
    WITH_QEMU_LOCK_GUARD(&load->lock) {
        load->old_sources = g_slist_prepend(load->old_sources, load->source);
        qatomic_set(&load->source, source);
        error_free(load->error);
        load->error = NULL;
        load->rewinds++;
        fixed_ram_map_rewind(load->map);
        qatomic_set(&load->stalled, false);
        qemu_cond_broadcast(&load->cond);
    }
    load_wake_all(load);
}

void fixed_ram_load_quit(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    load->loaders_quit = true;
    qemu_cond_broadcast(&load->cond);
}

static void worker_end(Worker *w, unsigned number)
{
    if (w->started) {
        if (w->fault && !qatomic_read(&w->gone)) {
            fixed_ram_uffd_ring(&w->load->uffd, number);
        }
        qemu_thread_join(&w->thread);
    }
    if (w->buf) {
        munmap(w->buf, w->load->buf_size);
    }
}

static void load_unregister(FixedRamLoad *load)
{
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        fixed_ram_uffd_unregister(&load->uffd, block->host, block->length);
    }
    fixed_ram_uffd_close(&load->uffd);
}

static void source_free(void *opaque)
{
    fixed_ram_source_close(opaque);
}

void fixed_ram_load_free(FixedRamLoad *load)
{
    fixed_ram_load_quit(load);
    /* Loaders first: a fault thread serves them no more once it has ended. */
    for (unsigned i = load->nworkers; i-- > 0; ) {
        worker_end(&load->workers[i], i);
    }
    if (load->registered) {
        load_unregister(load);
    }
    g_free(load->workers);
    fixed_ram_source_close(load->source);
    g_slist_free_full(load->old_sources, source_free);
    error_free(load->error);
    ratelimit_destroy(&load->limit);
    qemu_cond_destroy(&load->cond);
    qemu_mutex_destroy(&load->lock);
    g_free(load);
}

const FixedRamLoadStats *fixed_ram_load_stats(FixedRamLoad *load)
{
    return &load->stats;
}
