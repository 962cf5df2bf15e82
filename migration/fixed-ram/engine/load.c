/*
 * fixed-ram: the engine that brings pages from a source into memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "place.h"
#include "../trace.h"

/*
 * Two readers keep each other's kernel work hidden; more only compete for
 * the descriptor's lock.
 */
#define FAULT_THREADS           2
#define LOADER_BYTES_MAX        (32 * MiB)
/* Each may be a mapping of its own for the kernel, which has some 65,000. */
#define RANGES_MAX              1024

void fixed_ram_load_notify(FixedRamLoad *load)
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

/* With @lock held.  Returns whether those who wait are to be released. */
static bool load_stall_locked(FixedRamLoad *load, Error *err)
{
    trace_fixed_ram_stall(load->guest_runs, error_get_pretty(err));
    if (load->error) {
        error_free(err);
    } else {
        load->error = err;
    }
    load->failed = !load->guest_runs;
    qatomic_set(&load->stalled, true);
    return load->failed && load->registered;
}

void fixed_ram_load_stall(FixedRamLoad *load, Error *err)
{
    bool release;

    WITH_QEMU_LOCK_GUARD(&load->lock) {
        release = load_stall_locked(load, err);
    }
    if (release) {
        /* The main thread may be waiting: it gets zeros and sees @failed. */
        load_wake_all(load);
    }
    fixed_ram_load_notify(load);
}

bool fixed_ram_load_read_counts(FixedRamLoad *load, FixedRamSource *source)
{
    /* Pairs with fixed_ram_load_recover(), which sets both. */
    return !qatomic_load_acquire(&load->stalled) &&
           qatomic_read(&load->source) == source;
}

void fixed_ram_load_read_in_vain(FixedRamLoad *load, FixedRamSource *source,
                                 Error *err)
{
    bool wake = true;

    WITH_QEMU_LOCK_GUARD(&load->lock) {
        if (source != load->source) {
            /* Recovered since then: have it read again from the new source. */
            error_free(err);
            load->rewinds++;
            fixed_ram_map_rewind(load->map);
            qemu_cond_broadcast(&load->cond);
        } else {
            wake = err && load_stall_locked(load, err);
        }
    }
    if (wake) {
        load_wake_all(load);
    }
    fixed_ram_load_notify(load);
}

/* A buffer holds a claim: @bytes, or one page of the memory if larger. */
static size_t buffer_size(const FixedRamMap *map, size_t bytes)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        bytes = MAX(bytes, fixed_ram_map_block(map, i)->unit);
    }
    return bytes;
}

/* More keep no disk any busier, and each takes memory. */
static unsigned loader_count(unsigned wanted, size_t buf_size)
{
    return MIN(wanted, MAX(LOADER_BYTES_MAX / buf_size, 1));
}

static bool add_workers(FixedRamLoad *load, unsigned faults, Error **errp)
{
    size_t fault_buf = buffer_size(load->map, FIXED_RAM_FAULT_BYTES_MAX);
    size_t loader_buf = buffer_size(load->map, FIXED_RAM_EXTENT_BYTES);
    unsigned n = faults + loader_count(load->config.loaders, loader_buf);

    load->workers = g_new0(FixedRamWorker *, n);
    for (unsigned i = 0; i < n; i++) {
        bool fault = i < faults;

        load->workers[i] = fixed_ram_worker_new(
            load, fault, fault ? fault_buf : loader_buf, errp);
        if (!load->workers[i]) {
            return false;
        }
        load->nworkers++;
    }
    return true;
}

FixedRamLoad *fixed_ram_load_new(FixedRamMap *map, FixedRamSource *source,
                                 const FixedRamLoadConfig *config,
                                 Error **errp)
{
    FixedRamLoad *load = g_new0(FixedRamLoad, 1);

    QEMU_BUILD_BUG_ON(FAULT_THREADS > FIXED_RAM_UFFD_BELLS);

    load->map = map;
    load->source = source;
    load->config = *config;
    fixed_ram_sum_table_ref(config->sums);
    load->uffd.fd = -1;
    qemu_mutex_init(&load->lock);
    qemu_cond_init(&load->cond);
    fixed_ram_throttle_init(&load->throttle, config->ops->bandwidth,
                            config->opaque);
    fixed_ram_pace_init(&load->pace, config->on_demand);
    load->asked = bitmap_new(map->extents);
    if (config->on_demand) {
        fixed_ram_source_expect_faults(source);
    }
    if (!add_workers(load, config->on_demand ? FAULT_THREADS : 0, errp)) {
        fixed_ram_load_free(load);
        return NULL;
    }
    return load;
}

/*
 * The next range of @block that holds data, in whole extents.  What lies
 * between, @gap bytes or more, is left to the kernel: it gives zeros, as huge
 * pages if it likes.
 */
static bool next_range(const FixedRamBlock *block, uint64_t pos, uint64_t gap,
                       FixedRamRun *range)
{
    uint64_t extent = block->extent_units * block->unit;
    FixedRamRun data;
    uint64_t end;

    if (!fixed_ram_block_next_data(block, pos, block->length, 0, &data)) {
        return false;
    }
    range->offset = ROUND_DOWN(data.offset, extent);
    /* From extent to extent: the guest waits, and RAM may be large. */
    do {
        end = ROUND_UP(data.offset + data.length, extent);
    } while (fixed_ram_block_next_data(block, end, block->length, 0, &data) &&
             ROUND_DOWN(data.offset, extent) - end < gap);
    range->length = MIN(end, block->length) - range->offset;
    return true;
}

static size_t count_ranges(const FixedRamMap *map, uint64_t gap)
{
    size_t count = 0;

    for (size_t i = 0; i < map->blocks->len; i++) {
        FixedRamRun range = { };

        while (next_range(fixed_ram_map_block(map, i),
                          range.offset + range.length, gap, &range)) {
            count++;
        }
    }
    return count;
}

static bool register_block(FixedRamLoad *load, FixedRamBlock *block,
                           uint64_t gap, Error **errp)
{
    FixedRamRun range = { };

    while (next_range(block, range.offset + range.length, gap, &range)) {
        if (!fixed_ram_uffd_register(&load->uffd, block->host + range.offset,
                                     range.length, errp)) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_load_register(FixedRamLoad *load, Error **errp)
{
    ERRP_GUARD();
    uint64_t gap = FIXED_RAM_EXTENT_BYTES;

    assert(load->config.on_demand);
    if (!fixed_ram_uffd_open(&load->uffd, errp)) {
        return false;
    }
    load->registered = true;
    /* As many as there are blocks are needed at least. */
    while (count_ranges(load->map, gap) > RANGES_MAX &&
           gap < load->map->total) {
        gap *= 2;
    }
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        if (!register_block(load, block, gap, errp)) {
            error_prepend(errp, "block '%s': ", block->name);
            return false;
        }
    }
    return true;
}

void fixed_ram_load_start(FixedRamLoad *load)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        fixed_ram_worker_start(load->workers[i]);
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
        fixed_ram_load_notify(load);
    }
}

bool fixed_ram_load_guest_runs(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    qatomic_set(&load->guest_runs, !load->failed);
    return load->guest_runs;
}

bool fixed_ram_load_recover(FixedRamLoad *load, FixedRamSource *source,
                            Error **errp)
{
    /* From here on until the end of the stall no read begins. */
    if (!fixed_ram_load_retire(load, errp)) {
        return false;
    }
    trace_fixed_ram_recover(source->name);
    fixed_ram_source_expect_faults(source);
    WITH_QEMU_LOCK_GUARD(&load->lock) {
        load->old_sources = g_slist_prepend(load->old_sources, load->source);
        qatomic_store_release(&load->source, source);
        error_free(load->error);
        load->error = NULL;
        load->rewinds++;
        fixed_ram_map_rewind(load->map);
        qatomic_store_release(&load->stalled, false);
        qemu_cond_broadcast(&load->cond);
    }
    load_wake_all(load);
    return true;
}

bool fixed_ram_load_waits(FixedRamLoad *load)
{
    return !qatomic_read(&load->guest_runs) || qatomic_read(&load->stalled) ||
           qatomic_read(&load->reads);
}

void fixed_ram_load_quit(FixedRamLoad *load)
{
    fixed_ram_throttle_stop(&load->throttle);
    QEMU_LOCK_GUARD(&load->lock);
    load->loaders_quit = true;
    qemu_cond_broadcast(&load->cond);
}

/* Each ring ends one fault thread, whichever takes it. */
static void end_fault_threads(FixedRamLoad *load)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        FixedRamWorker *w = load->workers[i];

        if (w->started && w->fault && !qatomic_read(&w->gone)) {
            fixed_ram_uffd_ring(&load->uffd, i);
        }
    }
}

static void join_workers(FixedRamLoad *load, bool fault)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        FixedRamWorker *w = load->workers[i];

        if (w->started && w->fault == fault) {
            qemu_thread_join(&w->thread);
            w->started = false;
        }
    }
}

static void free_workers(FixedRamLoad *load)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        fixed_ram_worker_free(load->workers[i]);
    }
    g_free(load->workers);
    g_free(load->asked);
}

static void load_unregister(FixedRamLoad *load)
{
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        fixed_ram_uffd_unregister(&load->uffd, block->host, block->length);
    }
    fixed_ram_uffd_close(&load->uffd);
}

static void source_unref(void *opaque)
{
    fixed_ram_source_unref(opaque);
}

void fixed_ram_load_end(FixedRamLoad *load)
{
    fixed_ram_load_quit(load);
    join_workers(load, false);
    end_fault_threads(load);
    join_workers(load, true);
}

void fixed_ram_load_free(FixedRamLoad *load)
{
    fixed_ram_load_end(load);
    if (load->registered) {
        load_unregister(load);
    }
    free_workers(load);
    fixed_ram_sum_table_unref(load->config.sums);
    fixed_ram_source_unref(load->source);
    g_slist_free_full(load->old_sources, source_unref);
    error_free(load->error);
    fixed_ram_pace_destroy(&load->pace);
    fixed_ram_throttle_destroy(&load->throttle);
    qemu_cond_destroy(&load->cond);
    qemu_mutex_destroy(&load->lock);
    g_free(load);
}

const FixedRamLoadStats *fixed_ram_load_stats(FixedRamLoad *load)
{
    return &load->stats;
}
