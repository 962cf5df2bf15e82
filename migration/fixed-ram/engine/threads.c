/*
 * fixed-ram: the engine's threads: they start, are replaced, and end
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/units.h"
#include "fault.h"
#include "loader.h"
#include "threads.h"
#include "../util/thread.h"
#include "worker.h"

/*
 * With two threads the kernel's work for one fault runs beside our work for
 * another.  More threads only compete for the descriptor's lock.
 */
#define FAULT_THREADS           2
/* Memory that all loaders' buffers take together, if more than one. */
#define LOADER_BYTES_MAX        (32 * MiB)

/* A buffer holds a claim: @bytes, or one unit if that is larger. */
static size_t buffer_size(const FixedRamMap *map, size_t bytes)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        bytes = MAX(bytes, fixed_ram_map_block(map, i)->unit);
    }
    return bytes;
}

bool fixed_ram_threads_new(FixedRamLoad *load, Error **errp)
{
    unsigned faults = load->config.on_demand ? FAULT_THREADS : 0;
    size_t fault_buf = buffer_size(load->map, FIXED_RAM_FAULT_BYTES_MAX);
    size_t loader_buf = buffer_size(load->map, FIXED_RAM_EXTENT_BYTES);
    unsigned loaders = MIN(load->config.loaders,
                           MAX(LOADER_BYTES_MAX / loader_buf, 1));

    QEMU_BUILD_BUG_ON(FAULT_THREADS > FIXED_RAM_UFFD_BELLS);

    load->workers = g_new0(FixedRamWorker *, faults + loaders);
    for (unsigned i = 0; i < faults + loaders; i++) {
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

static bool start_worker(FixedRamWorker *w, Error **errp)
{
    w->started = fixed_ram_thread_create(
        &w->thread, w->fault ? "fixed-ram/fault" : "fixed-ram/load",
        w->fault ? fixed_ram_fault_thread : fixed_ram_loader_thread, w,
        QEMU_THREAD_JOINABLE, errp);
    return w->started;
}

/* Start the threads of one kind; one is enough. */
static bool start_kind(FixedRamLoad *load, bool fault, Error **errp)
{
    unsigned wanted = 0, running = 0;
    Error *err = NULL;

    for (unsigned i = 0; i < load->nworkers; i++) {
        FixedRamWorker *w = load->workers[i];

        if (w->fault == fault) {
            wanted++;
            running += w->started || start_worker(w, err ? NULL : &err);
        }
    }
    if (wanted && !running) {
        error_propagate(errp, err);
        return false;
    }
    error_free(err);
    return true;
}

bool fixed_ram_threads_start(FixedRamLoad *load, Error **errp)
{
    return start_kind(load, true, errp) && start_kind(load, false, errp);
}

bool fixed_ram_threads_retire(FixedRamLoad *load, Error **errp)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        FixedRamWorker *w = load->workers[i], *next;

        if (!fixed_ram_worker_reads(w)) {
            continue;
        }
        /* An eager load's readers may be writing to the guest's memory. */
        assert(load->config.on_demand);
        next = fixed_ram_worker_new(load, w->fault, w->buf.size, errp);
        if (!next) {
            return false;
        }
        if (fixed_ram_worker_retire(w)) {
            load->workers[i] = next;
        } else {
            fixed_ram_worker_free(next);
        }
    }
    return fixed_ram_threads_start(load, errp);
}

/* Each ring ends one fault thread, no matter which one answers it. */
static void ring_for_fault_threads(FixedRamLoad *load)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        FixedRamWorker *w = load->workers[i];

        if (w->started && w->fault && !qatomic_read(&w->ended)) {
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

void fixed_ram_threads_end(FixedRamLoad *load)
{
    join_workers(load, false);
    ring_for_fault_threads(load);
    join_workers(load, true);
}

void fixed_ram_threads_free(FixedRamLoad *load)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        fixed_ram_worker_free(load->workers[i]);
    }
    g_free(load->workers);
}
