/*
 * fixed-ram: the load under way, and which thread may use it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/blocker.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "../postcopy-ram.h"
#include "../qemu-file.h"
#include "compat.h"
#include "incoming-state.h"
#include "sharing.h"

/* How long a failed device_add waits for its device to go. */
#define DRAIN_MS        1000

/*
 * Commands and the engine's threads take @lock while the main thread may be
 * waiting for a page.  So no thread reads a file or touches guest
 * memory while it holds the lock.
 */
static QemuMutex lock;
static QemuCond idle;           /* with @lock: a thread has let the load go */
/* The main thread sets it, under @lock. */
static FixedRamIncoming *incoming;
/*
 * Set once pages were given up.  Saving or migrating would read them, which the
 * kernel answers with SIGBUS.  Main thread.
 */
static Error *lost_blocker;

FixedRamIncoming *fixed_ram_incoming_current(void)
{
    return incoming;
}

bool fixed_ram_incoming_active(void)
{
    return incoming;
}

bool fixed_ram_incoming_needs_settings(void)
{
    return incoming && !(incoming->background && incoming->started);
}

void fixed_ram_incoming_set(FixedRamIncoming *in)
{
    QEMU_LOCK_GUARD(&lock);
    incoming = in;
    qemu_cond_broadcast(&idle);
}

void fixed_ram_incoming_free(FixedRamIncoming *in)
{
    fixed_ram_watchdog_free(in->watchdog);
    if (!in->kept) {
        fixed_ram_snapshot_free(in->snapshot);
        fixed_ram_map_free(in->map);
    }
    fixed_ram_sumtable_unref(in->sums);
    fixed_ram_working_set_free(in->set);
    fixed_ram_mapping_free(in->mapping);
    if (in->stream) {
        qemu_fclose(in->stream);
    }
    if (in->update_bh) {
        qemu_bh_delete(in->update_bh);
    }
    object_unref(OBJECT(in->ms));
    g_free(in->name);
    g_free(in);
}

/* Called under @lock.  Waits until no thread has hold of the load. */
static FixedRamIncoming *wait_until_idle(void)
{
    while (incoming && incoming->busy) {
        qemu_cond_wait(&idle, &lock);
    }
    return incoming && !incoming->finished ? incoming : NULL;
}

FixedRamIncoming *fixed_ram_incoming_get(void)
{
    FixedRamIncoming *in;

    QEMU_LOCK_GUARD(&lock);
    in = wait_until_idle();
    if (!in || in->status == MIGRATION_STATUS_NONE) {
        return NULL;
    }
    in->busy = true;
    return in;
}

FixedRamIncoming *fixed_ram_incoming_get_recovery(unsigned number)
{
    FixedRamIncoming *in;

    QEMU_LOCK_GUARD(&lock);
    in = wait_until_idle();
    if (!in || in->status != MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP ||
        in->recovery != number) {
        return NULL;
    }
    in->busy = true;
    return in;
}

/*
 * Called under @lock.  The incoming migration's state is that of the load.  But
 * in the background the migration has completed when the guest may run, and
 * after that it only shows when the load is paused, and that it is recovered.
 */
static void show_status(FixedRamIncoming *in)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    MigrationStatus status = in->status;

    if (in->background && !in->started) {
        return;
    }
    if (in->background && status == MIGRATION_STATUS_POSTCOPY_ACTIVE) {
        status = MIGRATION_STATUS_COMPLETED;
    }
    migrate_set_state(&mis->state, mis->state, status);
}

/* Called under @lock. */
static void set_status(FixedRamIncoming *in, MigrationStatus status)
{
    in->status = status;
    show_status(in);
}

MigrationStatus fixed_ram_incoming_status(FixedRamIncoming *in)
{
    QEMU_LOCK_GUARD(&lock);
    return in->status;
}

void fixed_ram_incoming_set_started(FixedRamIncoming *in)
{
    QEMU_LOCK_GUARD(&lock);
    in->started = true;
    show_status(in);
}

Error *fixed_ram_incoming_error(FixedRamIncoming *in)
{
    QEMU_LOCK_GUARD(&in->ms->error_mutex);
    return in->ms->error ? error_copy(in->ms->error) : NULL;
}

void fixed_ram_incoming_set_error(FixedRamIncoming *in, Error *err)
{
    QEMU_LOCK_GUARD(&in->ms->error_mutex);
    error_free(in->ms->error);
    in->ms->error = err;
}

void fixed_ram_incoming_set_status(FixedRamIncoming *in,
                                   MigrationStatus status)
{
    QEMU_LOCK_GUARD(&lock);
    set_status(in, status);
}

/*
 * Called under @lock.  Returns why the load is paused now, for report_pause(),
 * or NULL if its state does not change.
 */
static Error *pause_if_stalled(FixedRamIncoming *in)
{
    Error *err;

    if (in->busy || in->status != MIGRATION_STATUS_POSTCOPY_ACTIVE ||
        fixed_ram_load_state(in->load) != FIXED_RAM_LOAD_STALLED) {
        return NULL;
    }
    err = fixed_ram_load_error(in->load);
    fixed_ram_incoming_set_error(in, error_copy(err));
    set_status(in, MIGRATION_STATUS_POSTCOPY_PAUSED);
    if (in->background) {
        /* A migration that waits fails; nothing else can be in setup. */
        migrate_set_state(&in->ms->state, MIGRATION_STATUS_SETUP,
                          FIXED_RAM_STATUS_FAILING);
    }
    return err;
}

static void report_pause(Error *err)
{
    if (err) {
        error_reportf_err(err, "Loading the snapshot is paused, "
                          "migrate-recover goes on: ");
    }
}

void fixed_ram_incoming_put(FixedRamIncoming *in, MigrationStatus status)
{
    Error *err;

    WITH_QEMU_LOCK_GUARD(&lock) {
        set_status(in, status);
        in->busy = false;
        qemu_cond_broadcast(&idle);
        /* The engine's notifications have had no effect meanwhile. */
        err = pause_if_stalled(in);
        /* Not after the lock is released: update_bh() may free @in then. */
        qemu_bh_schedule(in->update_bh);
    }
    report_pause(err);
}

void fixed_ram_incoming_pause(FixedRamIncoming *in)
{
    Error *err;

    WITH_QEMU_LOCK_GUARD(&lock) {
        err = pause_if_stalled(in);
    }
    report_pause(err);
}

bool fixed_ram_incoming_may_finish(FixedRamIncoming *in)
{
    QEMU_LOCK_GUARD(&lock);
    if (!in->started || in->busy || in->finished ||
        fixed_ram_load_state(in->load) != FIXED_RAM_LOAD_COMPLETE) {
        return false;
    }
    in->finished = true;
    return true;
}

void fixed_ram_incoming_block_lost(uint64_t bytes)
{
    error_setg(&lost_blocker, "%" PRIu64 " bytes of the guest's RAM were given "
               "up when it was loaded", bytes);
    if (migrate_add_blocker_internal(&lost_blocker, NULL)) {
        /* It fails during a migration, and the load has excluded those. */
        g_assert_not_reached();
    }
}

/*
 * What other commands may do
 */

bool fixed_ram_check_idle(Error **errp)
{
    if (incoming) {
        error_setg(errp, "The guest's RAM is still being loaded from a "
                   "snapshot");
    } else if (lost_blocker) {
        error_propagate(errp, error_copy(lost_blocker));
    }
    return !incoming && !lost_blocker;
}

bool fixed_ram_check_vmstate(Error **errp)
{
    const bool *caps = migrate_get_current()->capabilities;

    if (!fixed_ram_check_idle(errp)) {
        return false;
    }
    if (caps[MIGRATION_CAPABILITY_FIXED_RAM] ||
        (caps[MIGRATION_CAPABILITY_MAPPED_RAM] && !fixed_ram_vmstate_seeks())) {
        error_setg(errp, "Capability '%s' is for files: clear it first, a disk "
                   "image has no fixed places for pages",
                   caps[MIGRATION_CAPABILITY_FIXED_RAM] ? "fixed-ram"
                                                        : "mapped-ram");
        return false;
    }
    return true;
}

bool fixed_ram_check_shareable(Error **errp)
{
    fixed_ram_sharing_note();
    if (incoming && incoming->on_demand) {
        error_setg(errp, "The guest's RAM is still being loaded from a "
                   "snapshot: no vhost-user device can map it before that has "
                   "completed");
        return false;
    }
    return true;
}

/* A callback that waits behind those that are queued already. */
typedef struct Drain {
    struct rcu_head rcu;
    QemuSemaphore done;         /* posted by the callback */
    unsigned refs;              /* of the waiter and of the callback; atomic */
} Drain;

static void drain_unref(Drain *drain)
{
    if (qatomic_fetch_dec(&drain->refs) == 1) {
        qemu_sem_destroy(&drain->done);
        g_free(drain);
    }
}

static void drain_done(struct rcu_head *rcu)
{
    Drain *drain = container_of(rcu, Drain, rcu);

    qemu_sem_post(&drain->done);
    drain_unref(drain);
}

void fixed_ram_drain_call_rcu(void)
{
    Drain *drain;

    if (!incoming) {
        drain_call_rcu();
        return;
    }
    /*
     * A TCG vCPU that waits for a page does so inside an RCU read section, and
     * if the load is paused it may wait until migrate-recover.  So do not wait
     * for ever.  The callbacks take the big lock.
     */
    drain = g_new0(Drain, 1);
    drain->refs = 2;
    qemu_sem_init(&drain->done, 0);
    call_rcu1(&drain->rcu, drain_done);
    bql_unlock();
    qemu_sem_timedwait(&drain->done, DRAIN_MS);
    bql_lock();
    drain_unref(drain);
}

static void fixed_ram_init(void)
{
    qemu_mutex_init(&lock);
    qemu_cond_init(&idle);
}

migration_init(fixed_ram_init);
