/*
 * fixed-ram: the state of a load: errors, stalls and notifications
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "internal.h"
#include "state.h"
#include "../trace.h"

void fixed_ram_state_notify(FixedRamLoad *load)
{
    load->config.ops->notify(load->config.opaque);
}

static void state_wake_all(FixedRamLoad *load)
{
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        fixed_ram_uffd_wake(&load->uffd, block->host, block->length);
    }
}

/*
 * Called with @lock held.  Returns whether the caller must wake all threads
 * that wait for pages: those of a failed load get zeros and go on.
 */
static bool state_stall_locked(FixedRamLoad *load, Error *err)
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
        release = state_stall_locked(load, err);
    }
    if (release) {
        /* The main thread may wait for a page: it finds @failed set. */
        state_wake_all(load);
    }
    fixed_ram_state_notify(load);
}

FixedRamSource *fixed_ram_state_source(FixedRamLoad *load, unsigned *number)
{
    /* Pairs with fixed_ram_state_resume(): the source is no older. */
    *number = qatomic_load_acquire(&load->source_number);
    return qatomic_read(&load->source);
}

bool fixed_ram_state_read_valid(FixedRamLoad *load, unsigned number)
{
    /* Pairs with fixed_ram_state_resume(), which sets both. */
    return !qatomic_load_acquire(&load->stalled) &&
           qatomic_read(&load->source_number) == number;
}

/* Called with @lock held: loaders look at every extent once more. */
static void state_rewind_locked(FixedRamLoad *load)
{
    load->rewinds++;
    fixed_ram_map_rewind(load->map);
    qemu_cond_broadcast(&load->cond);
}

void fixed_ram_state_read_failed(FixedRamLoad *load, unsigned number,
                                 Error *err)
{
    bool wake = true;

    WITH_QEMU_LOCK_GUARD(&load->lock) {
        if (number != load->source_number) {
            error_free(err);
            state_rewind_locked(load);
        } else {
            wake = err && state_stall_locked(load, err);
        }
    }
    if (wake) {
        state_wake_all(load);
    }
    fixed_ram_state_notify(load);
}

void fixed_ram_state_returned(FixedRamLoad *load)
{
    WITH_QEMU_LOCK_GUARD(&load->lock) {
        state_rewind_locked(load);
    }
    state_wake_all(load);
}

FixedRamSource *fixed_ram_state_resume(FixedRamLoad *load,
                                       FixedRamSource *source)
{
    FixedRamSource *old;

    trace_fixed_ram_recover(source->name);
    WITH_QEMU_LOCK_GUARD(&load->lock) {
        old = load->source;
        qatomic_set(&load->source, source);
        qatomic_store_release(&load->source_number, load->source_number + 1);
        error_free(load->error);
        load->error = NULL;
        qatomic_store_release(&load->stalled, false);
        state_rewind_locked(load);
    }
    state_wake_all(load);
    return old;
}

void fixed_ram_state_hold_loaders(FixedRamLoad *load, bool hold)
{
    QEMU_LOCK_GUARD(&load->lock);
    load->hold_loaders = hold;
    qemu_cond_broadcast(&load->cond);
}

void fixed_ram_load_hold(FixedRamLoad *load, bool hold)
{
    QEMU_LOCK_GUARD(&load->lock);
    load->user_holds = hold;
    qemu_cond_broadcast(&load->cond);
}

bool fixed_ram_state_wait_for_work(FixedRamLoad *load, bool exhausted,
                                   unsigned *rewinds)
{
    QEMU_LOCK_GUARD(&load->lock);
    while (!load->loaders_quit &&
           (load->stalled || load->hold_loaders || load->user_holds ||
            (exhausted && *rewinds == load->rewinds))) {
        qemu_cond_wait(&load->cond, &load->lock);
    }
    *rewinds = load->rewinds;
    return !load->loaders_quit;
}

void fixed_ram_load_quit(FixedRamLoad *load)
{
    fixed_ram_throttle_stop(&load->throttle);
    QEMU_LOCK_GUARD(&load->lock);
    load->loaders_quit = true;
    qemu_cond_broadcast(&load->cond);
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
        fixed_ram_state_notify(load);
    }
}

bool fixed_ram_load_guest_runs(FixedRamLoad *load)
{
    QEMU_LOCK_GUARD(&load->lock);
    qatomic_set(&load->guest_runs, !load->failed);
    return load->guest_runs;
}

bool fixed_ram_load_may_be_stuck(FixedRamLoad *load)
{
    return !qatomic_read(&load->guest_runs) || qatomic_read(&load->stalled) ||
           qatomic_read(&load->reads);
}
