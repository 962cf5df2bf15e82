/*
 * fixed-ram: pausing a load, and going on with it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * migrate-pause and migrate-recover are out-of-band: they must work while the
 * main thread itself waits for a page.  So no lock is taken here that anybody
 * holds across an access to the guest's memory.
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-fixed-ram.h"
#include "qapi/qapi-visit-migration.h"
#include "preflight.h"

bool fixed_ram_recover_pause(Error **errp)
{
    FixedRamIncoming *in =
        fixed_ram_incoming_get(MIGRATION_STATUS_POSTCOPY_ACTIVE);
    Error *err = NULL;

    if (in) {
        error_setg(&err, "paused by the user");
        fixed_ram_load_stall(in->load, err);
        fixed_ram_incoming_put(in, MIGRATION_STATUS_POSTCOPY_ACTIVE);
        return true;
    }
    /* Then somebody else is just doing it. */
    return fixed_ram_incoming_busy(MIGRATION_STATUS_POSTCOPY_ACTIVE);
}

static FixedRamSource *recover_open(FixedRamIncoming *in, const char *uri,
                                    Error **errp)
{
    g_autoptr(MigrationChannel) channel = NULL;
    const MigrationParameters *params = &in->ms->parameters;
    g_autoptr(FixedRamSnapshot) snapshot = NULL;

    if (!migrate_uri_parse(uri, &channel, errp)) {
        return NULL;
    }
    if (channel->addr->transport != MIGRATION_ADDRESS_TYPE_FILE) {
        error_setg(errp, "Only a file can be loaded from, as file:PATH");
        return NULL;
    }
    snapshot = fixed_ram_preflight_open_file(&channel->addr->u.file, params,
                                             errp);
    if (!snapshot ||
        !fixed_ram_snapshot_same(in->snapshot, snapshot, errp) ||
        !fixed_ram_preflight_verify(snapshot, params, errp)) {
        return NULL;
    }
    return fixed_ram_source_ref(snapshot->source);
}

/* Nothing ends or pauses the load before all of this is done. */
static bool recover_from(FixedRamIncoming *in, const char *uri, Error **errp)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    g_autoptr(FixedRamSource) source = recover_open(in, uri, errp);

    if (!source || !fixed_ram_load_recover(in->load, source, errp)) {
        return false;
    }
    g_steal_pointer(&source);
    migrate_set_state(&mis->state, MIGRATION_STATUS_POSTCOPY_PAUSED,
                      MIGRATION_STATUS_POSTCOPY_RECOVER);
    WITH_QEMU_LOCK_GUARD(&in->ms->error_mutex) {
        error_free(in->ms->error);
        in->ms->error = NULL;
    }
    return true;
}

bool fixed_ram_recover_start(const char *uri, Error **errp)
{
    FixedRamIncoming *in =
        fixed_ram_incoming_get(MIGRATION_STATUS_POSTCOPY_PAUSED);

    if (in) {
        bool ok = recover_from(in, uri, errp);

        fixed_ram_incoming_put(in, ok ? MIGRATION_STATUS_POSTCOPY_ACTIVE
                                      : MIGRATION_STATUS_POSTCOPY_PAUSED);
        return true;
    }
    if (fixed_ram_incoming_busy(MIGRATION_STATUS_POSTCOPY_PAUSED)) {
        error_setg(errp, "Another command is at work on the paused load");
        return true;
    }
    return false;
}

void qmp_fixed_ram_give_up(const char *block, uint64_t offset, Error **errp)
{
    FixedRamIncoming *in =
        fixed_ram_incoming_get(MIGRATION_STATUS_POSTCOPY_PAUSED);

    if (!in) {
        error_setg(errp, "No load is paused");
        return;
    }
    fixed_ram_load_give_up(in->load, block, offset, errp);
    fixed_ram_incoming_put(in, MIGRATION_STATUS_POSTCOPY_PAUSED);
}
