/*
 * fixed-ram: a load's way through the incoming migration's states
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * prepare    pre-flight has checked the snapshot; nothing has changed
 * headers    ADVISE: blocks are resized, registered and emptied; the engine's
 *            threads start
 * wait       the share that is loaded before the guest starts
 * LISTENING  the main thread loads the devices' state; it may fault
 * RUNNING    the guest runs, or waits for cont; postcopy-active
 * END        every page is there: completed
 *
 * An eager load goes the same way up to "wait", and then ends.  A load that
 * maps the snapshot has no engine: "headers" maps it, and nothing is missing.
 *
 * When the engine has to stall one of its threads pauses the load and schedules
 * update_bh().  Threads of the engine call the engine_*() callbacks.  All else
 * in this file runs in the main thread under the BQL.
 */

#include "qemu/osdep.h"
#include "block/block.h"
#include "migration/blocker.h"
#include "migration/fixed-ram.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "../migration.h"
#include "../options.h"
#include "../postcopy-ram.h"
#include "../qemu-file.h"
#include "../savevm.h"
#include "background.h"
#include "compat.h"
#include "engine/collapse.h"
#include "incoming-figures.h"
#include "incoming-state.h"
#include "machine-options.h"
#include "mapped-pause.h"
#include "preflight.h"
#include "ramblocks.h"
#include "rollback.h"
#include "trace.h"

/* So many loaders keep a disk busy while some of them place pages. */
#define LOADERS 4

/* Clients find the reason of a failure in query-migrate. */
static void incoming_set_error(FixedRamIncoming *in, Error *err)
{
    if (err) {
        migrate_set_error(in->ms, err);
        error_free(err);
    }
}

/*
 * Pre-flight
 */

bool fixed_ram_incoming_prepare(MigrationAddress *addr, Error **errp)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    FixedRamIncoming *in;

    if (!fixed_ram_incoming_wanted() ||
        addr->transport != MIGRATION_ADDRESS_TYPE_FILE) {
        return true;
    }
    if (fixed_ram_incoming_active()) {
        error_setg(errp, "Cannot load from '%s': a snapshot is being loaded "
                   "already", addr->u.file.filename);
        return false;
    }
    if (mis->state != MIGRATION_STATUS_NONE) {
        /* migration_incoming_state_setup() refuses it; open no file before. */
        return true;
    }
    in = fixed_ram_preflight_open(&addr->u.file, errp);
    if (!in) {
        return false;
    }
    trace_fixed_ram_prepare(in->snapshot->source->name, in->on_demand,
                            in->snapshot->ram->blocks->len,
                            in->sums != NULL);
    if (!fixed_ram_background_prepare(in, errp)) {
        fixed_ram_ramblocks_relock();
        fixed_ram_incoming_free(in);
        return false;
    }
    fixed_ram_incoming_set(in);
    return true;
}

/*
 * The stream
 */

static void process_stream_bh(void *opaque)
{
    FixedRamIncoming *in = opaque;

    fixed_ram_process_stream(g_steal_pointer(&in->stream));
}

void fixed_ram_incoming_start(void)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    in->start_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    /* Like other transports, answer the command before anything is loaded. */
    migration_bh_schedule(process_stream_bh, in);
}

/*
 * What the engine's threads ask for
 */

static void engine_notify(void *opaque)
{
    FixedRamIncoming *in = opaque;

    /* Not in update_bh(): the main thread may wait for the page that failed. */
    fixed_ram_incoming_pause(in);
    qemu_bh_schedule(in->update_bh);
}

static uint64_t engine_bandwidth(void *opaque)
{
    FixedRamIncoming *in = opaque;

    /* The share that comes before the guest starts has no limit. */
    return qatomic_read(&in->waited) && !qatomic_read(&in->unlimited)
           ? qatomic_read(&in->ms->parameters.max_postcopy_bandwidth) : 0;
}

static void engine_wait_begin(void *opaque, uintptr_t addr,
                              uint32_t thread_id)
{
    ram_addr_t offset;
    RAMBlock *rb;

    RCU_READ_LOCK_GUARD();
    rb = qemu_ram_block_from_host((void *)addr, false, &offset);
    if (rb) {
        fixed_ram_blocktime_begin(addr, thread_id, rb);
    }
}

static void engine_wait_end(void *opaque, uintptr_t addr)
{
    fixed_ram_blocktime_end(addr);
}

static void engine_pack_failed(void *opaque, Error *err)
{
    const FixedRamIncoming *in = opaque;

    warn_reportf_err(err, "Snapshot '%s': the working set's pages are read "
                     "from their own places: ", in->name);
}

static const FixedRamLoadOps engine_ops = {
    .notify = engine_notify,
    .bandwidth = engine_bandwidth,
    .pack_failed = engine_pack_failed,
};

static const FixedRamLoadOps engine_ops_blocktime = {
    .notify = engine_notify,
    .bandwidth = engine_bandwidth,
    .wait_begin = engine_wait_begin,
    .wait_end = engine_wait_end,
    .pack_failed = engine_pack_failed,
};

/*
 * The block headers: from here on guest memory changes
 */

static bool incoming_discard_blocks(FixedRamIncoming *in, Error **errp)
{
    if (ram_block_discard_require(true)) {
        error_setg(errp, "Loading on demand is not possible: a device keeps "
                   "the guest's RAM pinned");
        return false;
    }
    in->discard_required = true;
    if (!fixed_ram_load_register(in->load, errp)) {
        return false;
    }
    /* A page that machine init has written is present: it would not fault. */
    postcopy_state_set(POSTCOPY_INCOMING_DISCARD);
    return fixed_ram_ramblocks_discard(errp);
}

static bool incoming_start_engine(FixedRamIncoming *in, Error **errp)
{
    /* In the background the base's state, which counts it, goes first. */
    bool blocktime = migrate_postcopy_blocktime() && !in->background;
    FixedRamLoadConfig config = {
        .on_demand = in->on_demand,
        .loaders = migrate_multifd() ? migrate_multifd_channels() : LOADERS,
        .sums = in->sums,
        .record = in->record.seconds,
        .set = in->set,
        .ops = blocktime ? &engine_ops_blocktime : &engine_ops,
        .opaque = in,
    };

    if (in->on_demand) {
        postcopy_state_set(POSTCOPY_INCOMING_ADVISE);
        if (blocktime) {
            fixed_ram_blocktime_start(migration_incoming_get_current());
        }
    }
    if (!fixed_ram_ramblocks_resize(in->snapshot->ram, errp)) {
        return false;
    }
    fixed_ram_ramblocks_attach(in->map);
    in->load = fixed_ram_load_new(in->map,
                                  fixed_ram_source_ref(in->snapshot->source),
                                  &config, errp);
    if (!in->load) {
        return false;
    }
    if (in->record.seconds) {
        in->recorder = fixed_ram_recorder_new(in->load, in->snapshot->source,
                                              &in->record);
    }
    if (in->on_demand ? !incoming_discard_blocks(in, errp)
                      : !fixed_ram_ramblocks_zero(in->map, errp)) {
        return false;
    }
    if (!fixed_ram_load_start(in->load, errp)) {
        return false;
    }
    fixed_ram_watchdog_attach(in->watchdog, in->load, in->map);
    return true;
}

/* The blocks become mappings of the file, and everything is there. */
static bool incoming_map(FixedRamIncoming *in, Error **errp)
{
    if (!fixed_ram_ramblocks_resize(in->snapshot->ram, errp)) {
        return false;
    }
    fixed_ram_ramblocks_attach(in->map);
    in->kept = true;
    in->ram_mapped = fixed_ram_mapped_map(in->snapshot, in->map, in->sums,
                                          g_steal_pointer(&in->mapping),
                                          g_steal_pointer(&in->set), errp);
    if (in->ram_mapped) {
        fixed_ram_rollback_keep(in->snapshot);
    }
    return in->ram_mapped;
}

static void update_bh(void *opaque);

int fixed_ram_incoming_ramblocks(QEMUFile *f)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();
    Error *err = NULL;

    if (in->load || in->ram_mapped) {
        error_setg(&err, "snapshot '%s': the stream has a second list of RAM "
                   "blocks", in->name);
    } else {
        in->update_bh = aio_bh_new(qemu_get_aio_context(), update_bh, in);
        if (in->mapped ? incoming_map(in, &err)
                       : incoming_start_engine(in, &err)) {
            qemu_set_offset(f, in->snapshot->ram->ram_end, SEEK_SET);
            return 0;
        }
    }
    incoming_set_error(in, err);
    return -EINVAL;
}

/*
 * The share that is loaded before the guest starts
 */

/* How many bytes may still be missing when the guest starts. */
static uint64_t share_left(const FixedRamIncoming *in)
{
    uint64_t percent = in->on_demand
        ? in->ms->parameters.fixed_ram_precopy_percent : 100;

    if (in->recorder) {
        /* Loaders do nothing before the record has ended. */
        percent = 0;
    }

    /* Rounded down, so that 1 % of a small guest is not nothing. */
    return in->map->wanted / 100 * (100 - percent) +
           in->map->wanted % 100 * (100 - percent) / 100;
}

static bool share_loaded(FixedRamIncoming *in, uint64_t left)
{
    return in->switch_now || fixed_ram_map_left(in->map) <= left ||
           fixed_ram_load_state(in->load) == FIXED_RAM_LOAD_FAILED;
}

int coroutine_mixed_fn fixed_ram_incoming_wait_share(void)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();
    uint64_t left;

    if (!in || !in->load || in->waited) {
        return 0;
    }
    assert(qemu_in_coroutine());
    left = share_left(in);
    if (!share_loaded(in, left)) {
        fixed_ram_load_notify_below(in->load, left);
        do {
            in->waiter = qemu_coroutine_self();
            qemu_coroutine_yield();
        } while (!share_loaded(in, left));
    }
    qatomic_set(&in->waited, true);
    trace_fixed_ram_switchover(fixed_ram_map_left(in->map), in->map->wanted,
                               in->switch_now);

    if (fixed_ram_load_state(in->load) == FIXED_RAM_LOAD_FAILED) {
        incoming_set_error(in, fixed_ram_load_error(in->load));
        return -EIO;
    }
    if (in->on_demand) {
        postcopy_state_set(POSTCOPY_INCOMING_LISTENING);
    }
    return 0;
}

bool fixed_ram_incoming_switchover(void)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    if (!in || !in->on_demand) {
        return false;
    }
    in->switch_now = true;
    if (in->update_bh) {
        qemu_bh_schedule(in->update_bh);
    }
    return true;
}

/*
 * The guest runs
 */

/* In the background a migration waits instead, see outgoing-wait.c. */
static void incoming_block_migration(FixedRamIncoming *in)
{
    Error *err = NULL;

    error_setg(&in->blocker, "The guest's RAM is still being loaded from a "
               "snapshot");
    if (migrate_add_blocker_internal(&in->blocker, &err)) {
        /* It fails during a migration, and INMIGRATE excludes those. */
        error_report_err(err);
    }
}

static void incoming_set_running(FixedRamIncoming *in)
{
    if (!in->background) {
        incoming_block_migration(in);
    }
    postcopy_state_set(POSTCOPY_INCOMING_RUNNING);
    fixed_ram_incoming_set_status(in, MIGRATION_STATUS_POSTCOPY_ACTIVE);
    trace_fixed_ram_running();
}

/*
 * The engine's error comes first: migrate_set_error() keeps the first one.
 * @why is QEMU's about the devices' state; 10.0 has printed it instead.
 */
static void incoming_report_failure(FixedRamIncoming *in, int ret,
                                    const Error *why)
{
    const FixedRamIndex *index = in->snapshot->index;
    Error *err = NULL;

    if (in->load) {
        incoming_set_error(in, fixed_ram_load_error(in->load));
    }
    error_setg(&err, "snapshot '%s': the devices' state could not be loaded: "
               "%s", in->name, why ? error_get_pretty(why) : strerror(-ret));
    fixed_ram_machine_options_explain(index ? index->options : NULL, &err);
    incoming_set_error(in, err);
}

bool fixed_ram_incoming_loaded(int *ret, const Error *why)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    if (!in) {
        return false;
    }
    if (*ret >= 0 && !in->load && !in->ram_mapped) {
        /* The stream had no RAM section. */
        *ret = -EINVAL;
    }
    if (*ret >= 0 && in->on_demand && !fixed_ram_load_guest_runs(in->load)) {
        *ret = -EIO;
    }
    if (*ret < 0) {
        incoming_report_failure(in, *ret, why);
    } else if (in->on_demand) {
        incoming_set_running(in);
    }
    return in->on_demand;
}

bool fixed_ram_incoming_running(void)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    if (!in || !in->on_demand) {
        return false;
    }
    fixed_ram_incoming_set_started(in);
    if (in->recorder) {
        fixed_ram_recorder_guest_may_run(in->recorder);
    }
    fixed_ram_background_start(in);
    /* The load may be complete or stalled by now. */
    qemu_bh_schedule(in->update_bh);
    return !in->background;
}

static void incoming_end(FixedRamIncoming *in);

/* Every page is there: end like any incoming migration. */
static void incoming_finish(FixedRamIncoming *in)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    /* The state may be "paused": the last page may have come after that. */
    migrate_set_state(&mis->state, mis->state, MIGRATION_STATUS_COMPLETED);
    if (in->background) {
        incoming_end(in);
    } else {
        migration_incoming_state_destroy();
    }
}

/*
 * Scheduled by whatever may have changed the load: the engine, a command, the
 * guest's start.
 */
static void update_bh(void *opaque)
{
    FixedRamIncoming *in = opaque;

    if (in->waiter) {
        aio_co_wake(g_steal_pointer(&in->waiter));
    } else if (fixed_ram_incoming_may_finish(in)) {
        incoming_finish(in);
    } else {
        fixed_ram_incoming_pause(in);
        fixed_ram_background_update(in);
    }
}

/*
 * The end
 */

void fixed_ram_incoming_shutdown(void)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    fixed_ram_mapped_pause_shutdown();
    if (!in || !in->load) {
        if (in) {
            /* The main thread has got here, nothing of ours can stop it. */
            fixed_ram_watchdog_free(g_steal_pointer(&in->watchdog));
        }
        return;
    }
    fixed_ram_watchdog_shutdown(in->watchdog);
    if (in->recorder) {
        fixed_ram_recorder_cancel(in->recorder);
    }
    fixed_ram_load_quit(in->load);
    /* Flush first: to stop vCPUs QEMU may have to wait for one of them. */
    bdrv_flush_all();
    if (fixed_ram_load_state(in->load) == FIXED_RAM_LOAD_STALLED) {
        /*
         * A vCPU may wait for a page that does not come.  The guest's disks are
         * flushed, so nothing is lost.
         */
        _exit(EXIT_SUCCESS);
    }
}

static void incoming_end_load(FixedRamIncoming *in)
{
    const FixedRamLoadStats *stats = fixed_ram_load_stats(in->load);
    bool complete = fixed_ram_load_state(in->load) == FIXED_RAM_LOAD_COMPLETE;

    trace_fixed_ram_finish(stats->faults, stats->fault_bytes,
                           stats->loader_bytes);
    fixed_ram_load_end(in->load);
    fixed_ram_watchdog_free(g_steal_pointer(&in->watchdog));
    fixed_ram_incoming_keep_figures(in);
    if (in->recorder && !in->started) {
        fixed_ram_recorder_cancel(in->recorder);
    }
    fixed_ram_recorder_free(g_steal_pointer(&in->recorder));
    fixed_ram_load_free(in->load);
    in->load = NULL;
    if (in->discard_required) {
        ram_block_discard_require(false);
    }
    if (in->on_demand && complete) {
        fixed_ram_collapse_start(fixed_ram_map_split_extents(in->map));
    }
}

static void incoming_end(FixedRamIncoming *in)
{
    uint64_t lost = in->load ? fixed_ram_load_stats(in->load)->lost_bytes : 0;

    fixed_ram_incoming_set(NULL);
    if (in->ram_mapped) {
        fixed_ram_incoming_keep_figures(in);
    }
    if (in->load) {
        incoming_end_load(in);
    }
    fixed_ram_background_end(in, lost);
    if (lost) {
        fixed_ram_incoming_block_lost(lost);
    }
    if (in->on_demand) {
        postcopy_state_set(POSTCOPY_INCOMING_END);
    }
    fixed_ram_ramblocks_relock();
    migrate_del_blocker(&in->blocker);
    fixed_ram_incoming_free(in);
}

void fixed_ram_incoming_end(void)
{
    FixedRamIncoming *in = fixed_ram_incoming_current();

    /* In the background it ends when every page is there. */
    if (in && !(in->background && in->started)) {
        incoming_end(in);
    }
}
