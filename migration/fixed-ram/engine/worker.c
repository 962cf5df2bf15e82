/*
 * fixed-ram: a worker, and the read that it has under way
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * If a server is gone or a disk is dying, a read may neither succeed nor fail,
 * and nothing gets its thread out of the kernel.  Meanwhile the thread has a
 * claim on pages, and other threads wait for these.  So a worker says before
 * each read what it has, and a recovery takes all of that away from it: the
 * worker is retired.  Its thread keeps the worker with the buffer, and
 * references to the source and to the checksums.  Should the read return, the
 * thread frees these and ends; the map, the guest's memory and the load itself
 * may be gone by then.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "state.h"
#include "../trace.h"
#include "../util/memory.h"
#include "worker.h"

FixedRamWorker *fixed_ram_worker_new(FixedRamLoad *load, bool fault,
                                     size_t buf_size, Error **errp)
{
    FixedRamWorker *w = g_new0(FixedRamWorker, 1);

    w->load = load;
    w->fault = fault;
    qemu_mutex_init(&w->lock);
    if (!fixed_ram_buffer_map(&w->buf, buf_size, errp)) {
        fixed_ram_worker_free(w);
        return NULL;
    }
    return w;
}

bool fixed_ram_worker_grow(FixedRamWorker *w)
{
    if (w->buf.size < FIXED_RAM_EXTENT_BYTES) {
        if (!fixed_ram_buffer_map(&w->buf, FIXED_RAM_EXTENT_BYTES, NULL)) {
            return false;
        }
        w->like = NULL;
    }
    return true;
}

void fixed_ram_worker_refill(FixedRamWorker *w)
{
    /* If there is no memory now the read will say so, or there is some then. */
    fixed_ram_memory_populate(w->buf.mem, w->buf.size, true, NULL);
}

void fixed_ram_worker_free(FixedRamWorker *w)
{
    fixed_ram_buffer_unmap(&w->buf);
    fixed_ram_buffer_unmap(&w->spare);
    qemu_mutex_destroy(&w->lock);
    g_free(w);
}

bool fixed_ram_worker_read_begin(FixedRamWorker *w, FixedRamSource *source,
                                 unsigned number)
{
    QEMU_LOCK_GUARD(&w->lock);
    if (!fixed_ram_state_read_valid(w->load, number)) {
        return false;
    }
    w->reading = true;
    w->source = source;
    qatomic_inc(&w->load->reads);
    return true;
}

/* End the calling thread, whose worker was retired. */
static void G_NORETURN exit_retired(FixedRamWorker *w)
{
    FixedRamSource *source = w->source;
    FixedRamSumTable *sums = w->sums;

    if (w->fault) {
        rcu_unregister_thread();
    }
    fixed_ram_worker_free(w);
    fixed_ram_source_unref(source);
    fixed_ram_sumtable_unref(sums);
    /* Do not return: our callers' load, map and memory may have been freed. */
    qemu_thread_exit(NULL);
}

void fixed_ram_worker_read_end(FixedRamWorker *w, Error *err)
{
    WITH_QEMU_LOCK_GUARD(&w->lock) {
        if (!w->retired) {
            w->reading = false;
            qatomic_dec(&w->load->reads);
            return;
        }
    }
    error_free(err);
    exit_retired(w);
}

bool fixed_ram_worker_reads(FixedRamWorker *w)
{
    QEMU_LOCK_GUARD(&w->lock);
    return w->reading;
}

void fixed_ram_worker_return_batch(FixedRamWorker *w, unsigned first)
{
    for (unsigned i = first; i < w->nbatch; i++) {
        fixed_ram_map_return(&w->batch[i]);
    }
}

bool fixed_ram_worker_retire(FixedRamWorker *w)
{
    FixedRamLoad *load = w->load;
    uint64_t left = fixed_ram_map_left(load->map);
    const FixedRamClaim *first;

    QEMU_LOCK_GUARD(&w->lock);
    if (!w->reading) {
        return false;
    }
    first = w->nbatch ? &w->batch[0] : &w->claim;
    trace_fixed_ram_retire(first->block->name, first->extent, w->fault);
    w->retired = true;
    fixed_ram_source_ref(w->source);
    w->sums = fixed_ram_sumtable_ref(load->config.sums);
    if (w->nbatch) {
        fixed_ram_worker_return_batch(w, 0);
    } else {
        fixed_ram_map_return(&w->claim);
    }
    if (w->fault) {
        fixed_ram_pace_fault_end(&load->pace, left);
    } else {
        fixed_ram_pace_end(&load->pace, &w->turn, left);
        fixed_ram_pace_leave(&load->pace, &w->turn);
    }
    qatomic_dec(&load->reads);
    pthread_detach(w->thread.thread);
    return true;
}
