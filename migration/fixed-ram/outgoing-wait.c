/*
 * fixed-ram: a migration that waits for RAM that is loaded in the background
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * For the client it is a migration in the status "setup".  Nothing of it exists
 * but its state, as while cpr-transfer waits for its peer: migrate_cancel sets
 * the state to "cancelled", and that is all.
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "monitor/monitor.h"
#include "qapi/clone-visitor.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-migration.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "../migration.h"
#include "../options.h"
#include "compat.h"
#include "incoming-state.h"
#include "outgoing-absent.h"
#include "outgoing-wait.h"
#include "trace.h"

/* The migration that waits.  Main thread. */
static struct {
    MigrationAddress *addr;     /* NULL: none waits */
    FixedRamMigrateStart *start;
    int fd;                     /* of an address "fd:NAME"; -1: none */
} waiting = { .fd = -1 };

static bool names_fd(const MigrationAddress *addr)
{
    return addr->transport == MIGRATION_ADDRESS_TYPE_SOCKET &&
           addr->u.socket.type == SOCKET_ADDRESS_TYPE_FD;
}

/* What is touched from now on tells nothing about the guest. */
static void end_record(FixedRamIncoming *in)
{
    if (in->recorder) {
        fixed_ram_recorder_end(in->recorder);
    }
}

/* Loaders need leave nothing to others while a client waits for them. */
static void set_unlimited(bool on)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    if (!in || !in->load) {
        return;
    }
    qatomic_set(&in->unlimited, on);
    fixed_ram_load_full_effort(in->load, on);
    if (on) {
        end_record(in);
    }
}

/* Forget the migration, whatever has become of it. */
static void drop(void)
{
    set_unlimited(false);
    qapi_free_MigrationAddress(g_steal_pointer(&waiting.addr));
    if (waiting.fd >= 0) {
        close(waiting.fd);
        waiting.fd = -1;
    }
}

/* It has ended without having started: free what a start would have freed. */
static void drop_ended(void)
{
    MigrationState *s = migrate_get_current();

    drop();
    if (s->vmdesc) {
        json_writer_free(g_steal_pointer(&s->vmdesc));
    }
}

bool fixed_ram_outgoing_check(Error **errp)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();
    Error *reason;

    if (!in || !in->background) {
        /* Other loads block migration. */
        return true;
    }
    if (fixed_ram_incoming_status(in) != MIGRATION_STATUS_POSTCOPY_ACTIVE) {
        reason = fixed_ram_incoming_error(in);
        error_setg(errp, "The guest's RAM is still being loaded from a "
                   "snapshot, and that is paused, migrate-recover goes on: %s",
                   reason ? error_get_pretty(reason) : "no reason is known");
        error_free(reason);
    } else if (in->job && fixed_ram_load_job_held(in->job)) {
        error_setg(errp, "The guest's RAM is still being loaded from a "
                   "snapshot, and that is paused: resume the job first");
    } else if (fixed_ram_load_stats(in->load)->lost_bytes) {
        error_setg(errp, "%" PRIu64 " bytes of the guest's RAM were given up "
                   "when it was loaded",
                   fixed_ram_load_stats(in->load)->lost_bytes);
    } else if (migrate_mode() != MIG_MODE_NORMAL &&
               migrate_mode() != MIG_MODE_CPR_REBOOT) {
        error_setg(errp, "The guest's RAM is still being loaded from a "
                   "snapshot: migration mode '%s' cannot wait for it",
                   MigMode_str(migrate_mode()));
    } else {
        return true;
    }
    return false;
}

bool fixed_ram_outgoing_wait(const MigrationAddress *addr,
                             FixedRamMigrateStart *start, Error **errp)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    if (!in || !in->background) {
        return false;
    }
    if (fixed_ram_outgoing_absent_allowed(in)) {
        trace_fixed_ram_outgoing_absent(fixed_ram_map_left(in->map));
        end_record(in);
        return false;
    }
    drop();
    if (names_fd(addr)) {
        /* Only now is it known which client's name this is. */
        waiting.fd = monitor_get_fd(monitor_cur(), addr->u.socket.u.fd.str,
                                    errp);
        if (waiting.fd < 0) {
            return true;
        }
    }
    trace_fixed_ram_outgoing_wait(fixed_ram_map_left(in->map));
    waiting.addr = QAPI_CLONE(MigrationAddress, addr);
    waiting.start = start;
    set_unlimited(true);
    /* An error may have paused the load since it was checked. */
    qemu_bh_schedule(in->update_bh);
    return true;
}

bool fixed_ram_outgoing_wait_cancel(void)
{
    if (!waiting.addr) {
        return false;
    }
    drop_ended();
    return true;
}

void fixed_ram_outgoing_wait_fail(const Error *reason)
{
    MigrationState *s = migrate_get_current();

    if (waiting.addr) {
        fixed_ram_outgoing_fail(s, reason);
        drop_ended();
    }
}

static void start_bh(void *opaque)
{
    MigrationState *s = migrate_get_current();

    if (waiting.addr && s->state == MIGRATION_STATUS_SETUP) {
        trace_fixed_ram_outgoing_start();
        waiting.start(waiting.addr, false, NULL);
    }
    drop();
}

void fixed_ram_outgoing_wait_over(void)
{
    if (waiting.addr) {
        aio_bh_schedule_oneshot(qemu_get_aio_context(), start_bh, NULL);
    }
}

int fixed_ram_outgoing_fd(const char *name, Error **errp)
{
    int fd = waiting.fd;

    if (fd < 0) {
        return monitor_get_fd(monitor_cur(), name, errp);
    }
    waiting.fd = -1;
    return fd;
}
