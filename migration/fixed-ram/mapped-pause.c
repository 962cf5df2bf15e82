/*
 * fixed-ram: pause and recovery of a guest whose RAM is a mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/block.h"
#include "hw/core/cpu.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/thread-sigbus.h"
#include "qemu/timer.h"
#include "system/iothread.h"
#include "system/runstate.h"
#include "../migration.h"
#include "compat.h"
#include "engine/repair.h"
#include "mapped-pause.h"

/* How long a process that was told to end waits for its main thread. */
#define PATIENCE_MS     1500

/* Set once, before any page can be bad. */
static const FixedRamSnapshot *snapshot;

/* The repair thread's. */
static MigrationStatus before;      /* the state when the pause began */
static int64_t told_to_end_ms;      /* 0: not told */

/* @err: what query-migrate tells from now on, or NULL; taken */
static void replace_error(Error *err)
{
    MigrationState *ms = migrate_get_current();

    QEMU_LOCK_GUARD(&ms->error_mutex);
    error_free(ms->error);
    ms->error = err;
}

/* Leave one of the states of a pause or a recovery; false: it was another. */
static bool leave_pause(MigrationStatus state)
{
    static const MigrationStatus from[] = {
        MIGRATION_STATUS_POSTCOPY_PAUSED,
        MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP,
        MIGRATION_STATUS_POSTCOPY_RECOVER,
    };
    MigrationIncomingState *mis = migration_incoming_get_current();

    for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
        if (qatomic_read(&mis->state) == from[i]) {
            if (from[i] != state) {
                migrate_set_state(&mis->state, from[i], state);
            }
            return true;
        }
    }
    return false;
}

static void page_failed(Error *err)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    MigrationStatus now = qatomic_read(&mis->state);
    bool again = now == MIGRATION_STATUS_POSTCOPY_PAUSED;

    replace_error(error_copy(err));
    /* A recovery that is still opening its file goes on. */
    if (now == MIGRATION_STATUS_POSTCOPY_RECOVER) {
        leave_pause(MIGRATION_STATUS_POSTCOPY_PAUSED);
    } else if (now != MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP && !again) {
        before = now;
        migrate_set_state(&mis->state, now, MIGRATION_STATUS_POSTCOPY_PAUSED);
    }
    if (again) {
        error_free(err);
    } else {
        error_reportf_err(err, "A page of the guest's RAM cannot be read, "
                          "migrate-recover goes on: ");
    }
}

static void pages_repaired(void)
{
    replace_error(NULL);
    leave_pause(before);
    told_to_end_ms = 0;
}

/*
 * The main thread sees a request to end QEMU unless it waits itself.  Then it
 * does not get to fixed_ram_mapped_pause_shutdown().
 */
static void pages_wanted(void)
{
    ShutdownCause cause = qemu_shutdown_requested_get();
    int64_t now = get_clock() / SCALE_MS;

    if (cause != SHUTDOWN_CAUSE_HOST_SIGNAL &&
        cause != SHUTDOWN_CAUSE_HOST_QMP_QUIT) {
        told_to_end_ms = 0;
    } else if (!told_to_end_ms) {
        told_to_end_ms = now;
    } else if (now - told_to_end_ms > PATIENCE_MS) {
        error_report("The snapshot cannot be read, and the main thread waits "
                     "for it: QEMU exits without flushing block devices");
        _exit(EXIT_FAILURE);
    }
}

static const FixedRamRepairOps repair_ops = {
    .failed = page_failed,
    .repaired = pages_repaired,
    .waiting = pages_wanted,
};

static void vcpu_can_wait(CPUState *cpu, run_on_cpu_data data)
{
    fixed_ram_repair_this_thread();
}

static void iothread_can_wait(void *opaque)
{
    fixed_ram_repair_this_thread();
}

static int visit_iothread(Object *obj, void *opaque)
{
    IOThread *iothread = (IOThread *)object_dynamic_cast(obj, TYPE_IOTHREAD);

    if (iothread) {
        aio_bh_schedule_oneshot(iothread_get_aio_context(iothread),
                                iothread_can_wait, NULL);
    }
    return 0;
}

void fixed_ram_mapped_pause_init(const FixedRamSnapshot *s,
                                 const FixedRamMap *map,
                                 FixedRamSumTable *sums)
{
    CPUState *cpu;

    if (!fixed_ram_repair_start(s->source, map, sums, &repair_ops)) {
        return;
    }
    qatomic_set(&snapshot, s);
    qemu_threads_allow_sigbus();
    CPU_FOREACH(cpu) {
        async_run_on_cpu(cpu, vcpu_can_wait, RUN_ON_CPU_NULL);
    }
    object_child_foreach(object_get_objects_root(), visit_iothread, NULL);
}

bool fixed_ram_wait_for_bad_page(void)
{
    return fixed_ram_repair_wait_for_bad();
}

void fixed_ram_mapped_pause_forget(const void *host)
{
    fixed_ram_repair_forget(host);
}

const FixedRamSnapshot *fixed_ram_mapped_pause_snapshot(void)
{
    return qatomic_read(&snapshot);
}

bool fixed_ram_mapped_pause_waiting(void)
{
    return fixed_ram_repair_waiting();
}

GArray *fixed_ram_mapped_pause_take_replaced(void)
{
    return fixed_ram_repair_take_replaced();
}

bool fixed_ram_mapped_pause_begin(Error **errp)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    if (qatomic_read(&mis->state) != MIGRATION_STATUS_POSTCOPY_PAUSED) {
        error_setg(errp, "migrate-recover: no page is missing, or a recovery "
                   "is under way");
        return false;
    }
    migrate_set_state(&mis->state, MIGRATION_STATUS_POSTCOPY_PAUSED,
                      MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP);
    return true;
}

void fixed_ram_mapped_pause_recover(FixedRamSnapshot *s, Error *err)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    Error *both = NULL;

    if (s && fixed_ram_snapshot_same(snapshot, s, &err)) {
        migrate_set_state(&mis->state, MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP,
                          MIGRATION_STATUS_POSTCOPY_RECOVER);
        fixed_ram_repair_retry(s->source);
        return;
    }
    error_setg(&both, "Cannot recover: %s", error_get_pretty(err));
    replace_error(both);
    leave_pause(MIGRATION_STATUS_POSTCOPY_PAUSED);
    error_reportf_err(err, "The guest's RAM still cannot be read: ");
}

void fixed_ram_mapped_pause_shutdown(void)
{
    if (fixed_ram_repair_waiting()) {
        bdrv_flush_all();
        _exit(EXIT_SUCCESS);
    }
}
