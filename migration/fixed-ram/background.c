/*
 * fixed-ram: a load that goes on in the background
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "../postcopy-ram.h"
#include "background.h"
#include "outgoing-wait.h"

static void background_hold(void *opaque, bool hold)
{
    FixedRamIncoming *in = opaque;
    Error *err = NULL;

    fixed_ram_load_hold(in->load, hold);
    if (hold && fixed_ram_load_job_held(in->job)) {
        error_setg(&err, "The guest's RAM is not there yet, and the job that "
                   "loads it was paused");
        fixed_ram_outgoing_wait_fail(err);
        error_free(err);
    }
}

/* For clients that have no out-of-band commands: as migrate-recover. */
static void background_resumed(void *opaque)
{
    FixedRamIncoming *in = opaque;
    Error *err = NULL;

    if (fixed_ram_incoming_status(in) == MIGRATION_STATUS_POSTCOPY_PAUSED) {
        fixed_ram_recover_start(NULL, &err);
    }
    if (err) {
        error_report_err(err);
    }
}

static void background_gone(void *opaque)
{
    FixedRamIncoming *in = opaque;

    in->job = NULL;
}

static const FixedRamLoadJobOps job_ops = {
    .hold = background_hold,
    .resumed = background_resumed,
    .gone = background_gone,
};

bool fixed_ram_background_prepare(FixedRamIncoming *in, Error **errp)
{
    if (in->background) {
        in->job = fixed_ram_load_job_new(&job_ops, in, errp);
    }
    return !in->background || in->job;
}

void fixed_ram_background_start(FixedRamIncoming *in)
{
    if (in->job) {
        fixed_ram_load_job_start(in->job, in->map);
    }
}

void fixed_ram_background_update(FixedRamIncoming *in)
{
    MigrationStatus status = fixed_ram_incoming_status(in);
    Error *err = NULL;

    if (!in->background || !in->started) {
        return;
    }
    if (status == MIGRATION_STATUS_POSTCOPY_PAUSED) {
        err = fixed_ram_incoming_error(in);
        fixed_ram_outgoing_wait_fail(err);
    } else if (status != MIGRATION_STATUS_POSTCOPY_ACTIVE) {
        /* The job stays paused while the file is checked. */
        return;
    }
    if (in->job) {
        fixed_ram_load_job_error(in->job, err);
    } else {
        error_free(err);
    }
}

void fixed_ram_background_end(FixedRamIncoming *in, uint64_t lost)
{
    Error *err = NULL;

    if (in->job) {
        fixed_ram_load_job_end(g_steal_pointer(&in->job));
    }
    if (lost) {
        error_setg(&err, "%" PRIu64 " bytes of the guest's RAM were given up "
                   "when it was loaded", lost);
        fixed_ram_outgoing_wait_fail(err);
        error_free(err);
    }
    fixed_ram_outgoing_wait_over();
}
