/*
 * fixed-ram: reads that may hang
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * A server is gone, a disk is dying: a read may neither succeed nor fail, and
 * nothing gets its thread out of the kernel.  Meanwhile the thread has a claim
 * on pages and holds others up.  So it says what it has before each read, and
 * who goes on after a stall takes all of that away from it: the thread is
 * retired.  It keeps its worker with the buffer, and references to the source
 * and to the checksums.  Should the read return, it frees these and ends; the
 * map, the guest's memory and the load itself may be gone by then.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "../trace.h"
#include "internal.h"

bool fixed_ram_read_begin(FixedRamWorker *w, const FixedRamClaim *claim,
                          FixedRamTurn *turn, FixedRamSource *source)
{
    QEMU_LOCK_GUARD(&w->lock);
    if (!fixed_ram_load_read_counts(w->load, source)) {
        return false;
    }
    w->claim = claim;
    w->turn = turn;
    w->source = source;
    qatomic_inc(&w->load->reads);
    return true;
}

bool fixed_ram_read_end(FixedRamWorker *w)
{
    QEMU_LOCK_GUARD(&w->lock);
    if (w->retired) {
        return false;
    }
    w->claim = NULL;
    qatomic_dec(&w->load->reads);
    return true;
}

void fixed_ram_worker_leave(FixedRamWorker *w)
{
    FixedRamSource *source = w->source;
    FixedRamSumTable *sums = w->sums;

    if (w->fault) {
        rcu_unregister_thread();
    }
    fixed_ram_worker_free(w);
    fixed_ram_source_unref(source);
    fixed_ram_sum_table_unref(sums);
    /* On the way back to where it began everything is somebody else's. */
    qemu_thread_exit(NULL);
}

static bool worker_reads(FixedRamWorker *w)
{
    QEMU_LOCK_GUARD(&w->lock);
    return w->claim;
}

/* False: its read has just ended.  Else @w is its thread's own from now on. */
static bool retire_worker(FixedRamWorker *w)
{
    FixedRamLoad *load = w->load;

    QEMU_LOCK_GUARD(&w->lock);
    if (!w->claim) {
        return false;
    }
    trace_fixed_ram_retire(w->claim->block->name, w->claim->extent, w->fault);
    w->retired = true;
    fixed_ram_source_ref(w->source);
    w->sums = fixed_ram_sum_table_ref(load->config.sums);
    fixed_ram_map_return(w->claim);
    if (w->turn) {
        fixed_ram_pace_end(&load->pace, w->turn);
        fixed_ram_pace_leave(&load->pace, w->turn);
    } else {
        fixed_ram_pace_fault_end(&load->pace);
    }
    qatomic_dec(&load->reads);
    pthread_detach(w->thread.thread);
    return true;
}

bool fixed_ram_load_retire(FixedRamLoad *load, Error **errp)
{
    for (unsigned i = 0; i < load->nworkers; i++) {
        FixedRamWorker *w = load->workers[i], *next;

        if (!worker_reads(w)) {
            continue;
        }
        /* An eager load's readers may be at the guest's memory. */
        assert(load->config.on_demand);
        next = fixed_ram_worker_new(load, w->fault, w->buf.size, errp);
        if (!next) {
            return false;
        }
        if (retire_worker(w)) {
            load->workers[i] = next;
            fixed_ram_worker_start(next);
        } else {
            fixed_ram_worker_free(next);
        }
    }
    return true;
}
