/*
 * fixed-ram: pausing a load, recovering it, giving up a page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * The commands are out-of-band: they must work while the main thread waits for
 * a page, and all monitors share one thread for them.  So no handler here waits
 * for a disk, nor for a lock whose owner may touch guest memory.
 *
 * migrate-recover only starts a thread, and answers.  The migration is in
 * postcopy-recover-setup until that thread has opened the file and compared it
 * with the snapshot that the load began with.  Then the load goes on from the
 * new file, or is paused again and query-migrate tells why.
 *
 * The thread may hang in a read for ever.  It owns all that it uses until it
 * takes hold of the load.  If the load has ended by then, or if another command
 * has stopped or superseded the recovery, its number is out of date and the
 * thread ends without any effect.
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-fixed-ram.h"
#include "qapi/qapi-visit-migration.h"
#include "qemu/error-report.h"
#include "../postcopy-ram.h"
#include "compat.h"
#include "format/layers.h"
#include "util/thread.h"
#include "incoming-state.h"
#include "mapped-pause.h"
#include "settings.h"
#include "trace.h"

/* One recovery.  Its thread owns it. */
typedef struct Recovery {
    unsigned number;            /* see FixedRamIncoming */
    MigrationChannel *channel;  /* the file; NULL: @source is set */
    FixedRamSource *source;     /* NULL until the file is open */
    uint64_t start;             /* file offset where the stream begins */
    OnOffAuto direct;           /* see fixed_ram_source_open_file() */
    bool verify;                /* check the stream's checksums */
} Recovery;

static void recovery_free(Recovery *r)
{
    qapi_free_MigrationChannel(r->channel);
    fixed_ram_source_unref(r->source);
    g_free(r);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Recovery, recovery_free)

static bool recovery_parse_uri(Recovery *r, const char *uri, Error **errp)
{
    if (!migrate_uri_parse(uri, &r->channel, errp)) {
        return false;
    }
    if (r->channel->addr->transport != MIGRATION_ADDRESS_TYPE_FILE) {
        error_setg(errp, "Cannot recover from '%s': the load needs a file, as "
                   "file:PATH", uri);
        return false;
    }
    r->start = r->channel->addr->u.file.offset;
    return true;
}

/* @s: the snapshot that the load reads */
static Recovery *recovery_new(const FixedRamSnapshot *s, OnOffAuto direct,
                              bool verify, const char *uri, Error **errp)
{
    g_autoptr(Recovery) r = g_new0(Recovery, 1);

    r->direct = direct;
    r->verify = verify;
    if (!uri) {
        r->source = fixed_ram_source_ref(s->source);
        r->start = s->start;
    } else if (!recovery_parse_uri(r, uri, errp)) {
        return NULL;
    }
    return g_steal_pointer(&r);
}

/* Everything that reads the file, and so may hang. */
static FixedRamSnapshot *recovery_open(Recovery *r, Error **errp)
{
    const FixedRamLayersConfig config = { .direct = r->direct };
    g_autoptr(FixedRamSnapshot) s = NULL;

    if (!r->source) {
        r->source = fixed_ram_source_open_file(
            r->channel->addr->u.file.filename, r->start, r->direct, errp);
        if (!r->source) {
            return NULL;
        }
        fixed_ram_source_spare_cache(r->source);
    }
    s = fixed_ram_snapshot_open(r->source, r->start, qemu_target_page_size(),
                                errp);
    if (!s || !fixed_ram_layers_open(s, &config, errp) ||
        !fixed_ram_snapshot_identify(s, errp) ||
        (s->index && r->verify &&
         !fixed_ram_index_verify_stream(s->index, s->source, errp))) {
        return NULL;
    }
    return g_steal_pointer(&s);
}

/* The engine goes on with @next, which becomes the old snapshot on success. */
static bool switch_snapshot(FixedRamIncoming *in, FixedRamSnapshot **next,
                            Error **errp)
{
    FixedRamSnapshot *old = in->snapshot;

    if (!fixed_ram_snapshot_same(old, *next, errp)) {
        return false;
    }
    fixed_ram_source_ref((*next)->source);
    if (!fixed_ram_load_recover(in->load, (*next)->source, errp)) {
        fixed_ram_source_unref((*next)->source);
        return false;
    }
    in->snapshot = *next;
    *next = old;
    return true;
}

static void recovery_succeeded(FixedRamIncoming *in)
{
    fixed_ram_incoming_set_status(in, MIGRATION_STATUS_POSTCOPY_RECOVER);
    if (in->ms->state != MIGRATION_STATUS_FAILED) {
        /* Else it is why a migration has failed that had waited for RAM. */
        fixed_ram_incoming_set_error(in, NULL);
    }
    fixed_ram_incoming_put(in, MIGRATION_STATUS_POSTCOPY_ACTIVE);
}

static void recovery_failed(FixedRamIncoming *in, Error *err)
{
    Error *paused = fixed_ram_load_error(in->load);
    Error *both = NULL;

    error_setg(&both, "Cannot recover: %s (the load was paused before: %s)",
               error_get_pretty(err),
               paused ? error_get_pretty(paused) : "no reason is known");
    fixed_ram_incoming_set_error(in, both);
    fixed_ram_incoming_put(in, MIGRATION_STATUS_POSTCOPY_PAUSED);
    error_free(paused);
    error_reportf_err(err, "Loading the snapshot is still paused: ");
}

static void *recovery_thread(void *opaque)
{
    g_autoptr(Recovery) r = opaque;
    Error *err = NULL;
    g_autoptr(FixedRamSnapshot) s = recovery_open(r, &err);
    FixedRamIncoming *in = fixed_ram_incoming_get_recovery(r->number);

    trace_fixed_ram_recovery(r->number, in, err ? error_get_pretty(err) : "");
    if (!in) {
        error_free(err);
    } else if (s && switch_snapshot(in, &s, &err)) {
        recovery_succeeded(in);
    } else {
        recovery_failed(in, err);
    }
    return NULL;
}

/*
 * The caller has hold of @in.  The thread owns the recovery, but it needs hold
 * of @in before it frees it, so its number can still be read here.
 */
static bool recovery_start(FixedRamIncoming *in, const char *uri, Error **errp)
{
    g_autoptr(Recovery) r = recovery_new(in->snapshot, in->direct, in->verify,
                                         uri, errp);
    QemuThread thread;

    if (!r) {
        return false;
    }
    r->number = in->recovery + 1;
    if (!fixed_ram_thread_create(&thread, "fixed-ram/open", recovery_thread, r,
                                 QEMU_THREAD_DETACHED, errp)) {
        return false;
    }
    in->recovery = g_steal_pointer(&r)->number;
    return true;
}

/*
 * RAM that is a mapping: there is no load any more
 */

static void *mapped_recovery_thread(void *opaque)
{
    g_autoptr(Recovery) r = opaque;
    Error *err = NULL;
    g_autoptr(FixedRamSnapshot) s = recovery_open(r, &err);

    fixed_ram_mapped_pause_recover(s, err);
    return NULL;
}

static void mapped_recovery_start(const char *uri, Error **errp)
{
    g_autoptr(Recovery) r = NULL;
    QemuThread thread;
    Error *err = NULL;

    if (!fixed_ram_mapped_pause_begin(errp)) {
        return;
    }
    r = recovery_new(fixed_ram_mapped_pause_snapshot(),
                     fixed_ram_settings_direct(), migrate_fixed_ram_verify(),
                     uri, &err);
    if (r && fixed_ram_thread_create(&thread, "fixed-ram/open",
                                     mapped_recovery_thread, r,
                                     QEMU_THREAD_DETACHED, &err)) {
        r = NULL;
    } else {
        error_propagate(errp, error_copy(err));
        fixed_ram_mapped_pause_recover(NULL, err);
    }
}

bool fixed_ram_recover_start(const char *uri, Error **errp)
{
    FixedRamIncoming *in = fixed_ram_incoming_get();
    MigrationStatus status;

    if (!in && fixed_ram_mapped_pause_snapshot()) {
        mapped_recovery_start(uri, errp);
        return true;
    }
    if (!in) {
        return false;
    }
    status = in->status;
    if (!postcopy_is_paused(status)) {
        error_setg(errp, "migrate-recover: the load is not paused");
    } else if (recovery_start(in, uri, errp)) {
        status = MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP;
    }
    /* A recovery that could not begin leaves one that is under way alone. */
    fixed_ram_incoming_put(in, status);
    return true;
}

bool fixed_ram_recover_pause(Error **errp)
{
    FixedRamIncoming *in = fixed_ram_incoming_get();
    MigrationStatus status;
    Error *err = NULL;

    if (!in) {
        return false;
    }
    status = in->status;
    if (status == MIGRATION_STATUS_POSTCOPY_ACTIVE) {
        error_setg(&err, "paused by the user");
        fixed_ram_load_stall(in->load, err);
        /* fixed_ram_incoming_put() pauses the migration. */
    } else if (status == MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP) {
        in->recovery++;
        status = MIGRATION_STATUS_POSTCOPY_PAUSED;
    } else {
        error_setg(errp, "The load is paused already");
    }
    fixed_ram_incoming_put(in, status);
    return true;
}

void qmp_fixed_ram_give_up(const char *block, uint64_t offset, Error **errp)
{
    FixedRamIncoming *in = fixed_ram_incoming_get();

    if (in && postcopy_is_paused(in->status)) {
        fixed_ram_load_give_up(in->load, block, offset, errp);
    } else {
        error_setg(errp, "Cannot give up a page: no load is paused");
    }
    if (in) {
        fixed_ram_incoming_put(in, in->status);
    }
}
