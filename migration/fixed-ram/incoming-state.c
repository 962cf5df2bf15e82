/*
 * fixed-ram: the load under way, and who may use it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/blocker.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/module.h"
#include "incoming.h"

/*
 * The main thread reads it freely and changes it under @lock, which nobody
 * holds for long: no file is read and no guest memory touched under it.
 */
static FixedRamIncoming *incoming;
static QemuMutex lock;
/* What was given up stays away, and whoever copies RAM would touch it. */
static Error *lost_blocker;

FixedRamIncoming *fixed_ram_incoming_now(void)
{
    return incoming;
}

bool fixed_ram_incoming(void)
{
    return incoming;
}

void fixed_ram_incoming_set(FixedRamIncoming *in)
{
    QEMU_LOCK_GUARD(&lock);
    incoming = in;
}

FixedRamIncoming *fixed_ram_incoming_get(MigrationStatus state)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    QEMU_LOCK_GUARD(&lock);
    if (!incoming || incoming->busy || incoming->finished ||
        mis->state != state) {
        return NULL;
    }
    incoming->busy = true;
    return incoming;
}

void fixed_ram_incoming_put(FixedRamIncoming *in, MigrationStatus state)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    WITH_QEMU_LOCK_GUARD(&lock) {
        if (mis->state != state) {
            migrate_set_state(&mis->state, mis->state, state);
        }
        in->busy = false;
    }
    /* What has happened meanwhile? */
    fixed_ram_incoming_notify(in);
}

bool fixed_ram_incoming_busy(MigrationStatus state)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    QEMU_LOCK_GUARD(&lock);
    return incoming && incoming->busy && mis->state == state;
}

Error *fixed_ram_incoming_pause(FixedRamIncoming *in)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    Error *err;

    QEMU_LOCK_GUARD(&lock);
    if (in->busy || mis->state != MIGRATION_STATUS_POSTCOPY_ACTIVE ||
        fixed_ram_load_state(in->load) != FIXED_RAM_LOAD_STALLED) {
        return NULL;
    }
    err = fixed_ram_load_error(in->load);
    migrate_set_error(in->ms, err);
    migrate_set_state(&mis->state, MIGRATION_STATUS_POSTCOPY_ACTIVE,
                      MIGRATION_STATUS_POSTCOPY_PAUSED);
    return err;
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

void fixed_ram_incoming_lost(uint64_t bytes)
{
    error_setg(&lost_blocker, "%" PRIu64 " bytes of the guest's RAM were given "
               "up when it was loaded", bytes);
    if (migrate_add_blocker_internal(&lost_blocker, NULL)) {
        /* Only where a migration goes on, which the load excludes. */
        g_assert_not_reached();
    }
}

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

bool fixed_ram_check_shareable(Error **errp)
{
    if (incoming && incoming->on_demand) {
        error_setg(errp, "The guest's RAM is still being loaded from a "
                   "snapshot: no vhost-user device can map it before that has "
                   "completed");
        return false;
    }
    return true;
}

static void fixed_ram_init(void)
{
    qemu_mutex_init(&lock);
}

migration_init(fixed_ram_init);
