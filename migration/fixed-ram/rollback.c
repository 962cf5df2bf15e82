/*
 * fixed-ram: back to the snapshot that is mapped
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * A rollback does what loadvm does, in the same order: stop, drain, reset, RAM,
 * the devices' state, go on.  RAM comes after the reset, which writes to it,
 * and before the devices, which may do so, too.
 *
 * The main thread runs all of this under the BQL.
 */

#include "qemu/osdep.h"
#include "block/block.h"
#include "io/channel-buffer.h"
#include "migration/fixed-ram.h"
#include "migration/global_state.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-fixed-ram.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "system/block-backend.h"
#include "system/cpus.h"
#include "system/hw_accel.h"
#include "system/replay.h"
#include "system/runstate.h"
#include "system/system.h"
#include "../migration.h"
#include "../options.h"
#include "../qemu-file.h"
#include "changes.h"
#include "compat.h"
#include "mapped.h"
#include "rollback.h"
#include "trace.h"
#include "format/sums.h"

/* Of the devices' state; a file of mapped-ram does not say where it ends. */
#define STATE_MAX       (1 * GiB)
/* u8 type, be32 section, u8 length, "ram", be32 instance, be32 version */
#define RAM_HEADER      17
/* See free_old_memory_maps(); each leaves some 10 KiB. */
#define ROLLBACKS_A_DRAIN   16

static struct {
    char *name;                 /* the snapshot's file */
    /*
     * The stream from its section of RAM on, without the content of that: what
     * is left of the section tells ram_load() that there are no pages.
     */
    GByteArray *stream;
    Error *unavailable;         /* why there is no @stream */
} kept;

/*
 * The devices' state
 */

static bool read_part(FixedRamSource *source, uint64_t offset, uint64_t length,
                      Error **errp)
{
    guint at = kept.stream->len;

    g_byte_array_set_size(kept.stream, at + length);
    return fixed_ram_source_read(source, kept.stream->data + at, length, offset,
                                 errp);
}

/* The bytes in memory must be those that were saved. */
static bool check_sum(const FixedRamSnapshot *s, Error **errp)
{
    const FixedRamIndex *index = s->index;
    uint64_t found;

    if (!index || !index->has_sums || !fixed_ram_sums_built()) {
        return true;
    }
    found = fixed_ram_sums_get(kept.stream->data + RAM_HEADER,
                               kept.stream->len - RAM_HEADER);
    if (found != index->tail.sum) {
        error_setg(errp, "snapshot '%s': the devices' state at offset 0x%"
                   PRIx64 " has checksum 0x%016" PRIx64 ", expected 0x%016"
                   PRIx64, s->source->name, index->tail.offset, found,
                   index->tail.sum);
        return false;
    }
    return true;
}

/* Loading these a second time would find bitmaps of the same names. */
static bool check_dirty_bitmaps(const FixedRamSnapshot *s, Error **errp)
{
    static const char section[] = "\x0c" "dirty-bitmap";

    if (memmem(kept.stream->data, kept.stream->len, section,
               strlen(section))) {
        error_setg(errp, "snapshot '%s' holds dirty bitmaps of disks, which "
                   "cannot be loaded twice", s->source->name);
        return false;
    }
    return true;
}

static bool keep_stream(const FixedRamSnapshot *s, Error **errp)
{
    uint64_t offset = s->ram->ram_end;
    uint64_t length = s->index ? s->index->tail.length
                               : MIN(s->source->size - offset, STATE_MAX);

    if (length > STATE_MAX) {
        error_setg(errp, "snapshot '%s': the devices' state at offset 0x%"
                   PRIx64 " has 0x%" PRIx64 " bytes, and at most 0x%" PRIx64
                   " are kept in memory", s->source->name, offset, length,
                   (uint64_t)STATE_MAX);
        return false;
    }
    kept.stream = g_byte_array_new();
    return read_part(s->source, s->head->end - RAM_HEADER, RAM_HEADER, errp) &&
           read_part(s->source, offset, length, errp) &&
           check_sum(s, errp) && check_dirty_bitmaps(s, errp);
}

void fixed_ram_rollback_keep(const FixedRamSnapshot *s)
{
    kept.name = g_strdup(s->source->name);
    if (!keep_stream(s, &kept.unavailable) && kept.stream) {
        g_byte_array_unref(g_steal_pointer(&kept.stream));
    }
    fixed_ram_changes_watch();
}

static QEMUFile *open_stream(void)
{
    QIOChannelBuffer *ioc = qio_channel_buffer_new(kept.stream->len);
    QEMUFile *f;

    memcpy(ioc->data, kept.stream->data, kept.stream->len);
    ioc->usage = kept.stream->len;
    qio_channel_set_name(QIO_CHANNEL(ioc), "migration-fixed-ram-rollback");
    f = qemu_file_new_input(QIO_CHANNEL(ioc));
    object_unref(OBJECT(ioc));
    return f;
}

static bool load_devices(Error **errp)
{
    QEMUFile *f = open_stream();
    Error *err = NULL;

    cpu_synchronize_all_pre_loadvm();
    fixed_ram_load_device_state(f, &err);
    qemu_fclose(f);
    if (err) {
        error_propagate_prepend(errp, err, "snapshot '%s': the devices' state "
                                "could not be loaded: ", kept.name);
    }
    return !err;
}

/*
 * Whether it is possible; nothing has changed yet
 */

/* What is going on, and must not meet a rollback; or NULL. */
static const char *busy(void)
{
    if (fixed_ram_incoming_active() || runstate_check(RUN_STATE_INMIGRATE)) {
        return "the load has not ended";
    }
    if (migration_is_running()) {
        return "the VM is being migrated or saved";
    }
    if (qemu_system_dump_in_progress()) {
        return "the guest's memory is being dumped";
    }
    if (replay_mode != REPLAY_MODE_NONE) {
        return "the execution is recorded or replayed";
    }
    if (migrate_multifd() && !migrate_mapped_ram()) {
        return "the capability 'multifd' is set without 'mapped-ram'";
    }
    return NULL;
}

/* A name by which the user knows @blk, to be freed. */
static char *disk_name(BlockBackend *blk)
{
    g_autofree char *device = blk_get_attached_dev_id(blk);

    if (*blk_name(blk)) {
        return g_strdup(blk_name(blk));
    }
    return g_strdup(device && *device ? device
                    : bdrv_get_device_or_node_name(blk_bs(blk)));
}

static bool check_disks(Error **errp)
{
    BlockBackend *blk = NULL;

    while ((blk = blk_all_next(blk))) {
        if (blk_bs(blk) && blk_is_writable(blk)) {
            g_autofree char *name = disk_name(blk);

            error_setg(errp, "disk '%s' is writable, and is not rolled back: "
                       "the guest's memory would not fit to it "
                       "(disks=keep allows it)", name);
            return false;
        }
    }
    return true;
}

static bool check(bool keep_disks, Error **errp)
{
    ERRP_GUARD();
    const char *what = busy();
    bool ok = false;

    if (what) {
        error_setg(errp, "%s", what);
    } else if (fixed_ram_mapped_check_restore(errp) &&
               fixed_ram_changes_check(errp) &&
               (keep_disks || check_disks(errp))) {
        ok = kept.stream;
        if (!ok) {
            error_propagate(errp, error_copy(kept.unavailable));
        }
    }
    if (!ok) {
        error_prepend(errp, "The guest cannot be rolled back: ");
    }
    return ok;
}

/*
 * The way back
 */

/*
 * The guest was stopped in some state that is not live.  Runstates have a table
 * of transitions; all of these states may become the first one, and the second
 * may become @state.
 */
static void set_stopped(RunState state)
{
    runstate_set(RUN_STATE_PRELAUNCH);
    if (state != RUN_STATE_PRELAUNCH) {
        runstate_set(RUN_STATE_RUNNING);
        runstate_set(state);
    }
}

/*
 * Reset and load replace memory maps several times.  The thread that frees the
 * old ones does not keep pace with rollbacks that follow each other.  To wait
 * for it takes about 10 ms, so not every rollback does.
 */
static void free_old_memory_maps(void)
{
    static unsigned rollbacks;

    if (++rollbacks % ROLLBACKS_A_DRAIN == 0) {
        drain_call_rcu();
    }
}

static bool go_back(Error **errp)
{
    bool ok;

    bdrv_drain_all_begin();
    qemu_system_reset(SHUTDOWN_CAUSE_SNAPSHOT_LOAD);
    ok = fixed_ram_mapped_restore(errp) && load_devices(errp);
    bdrv_drain_all_end();
    free_old_memory_maps();
    return ok;
}

/* @before: the state of a guest whose stream does not tell the saved one */
static bool go_on(RunState before, Error **errp)
{
    RunState state = global_state_received() ? global_state_get_runstate()
                                             : before;

    if (!runstate_is_live(state)) {
        set_stopped(state == RUN_STATE_PRELAUNCH ? state : RUN_STATE_PAUSED);
        return true;
    }
    set_stopped(RUN_STATE_PRELAUNCH);
    if (!migration_block_activate(errp)) {
        return false;
    }
    vm_start();
    return true;
}

void qmp_fixed_ram_rollback(bool has_disks, FixedRamRollbackDisks disks,
                            Error **errp)
{
    ERRP_GUARD();
    RunState before = runstate_get();

    if (!check(has_disks && disks == FIXED_RAM_ROLLBACK_DISKS_KEEP, errp)) {
        return;
    }
    trace_fixed_ram_rollback_begin(RunState_str(before));
    vm_stop(RUN_STATE_RESTORE_VM);
    if (!go_back(errp)) {
        /* Neither RAM nor devices are consistent: cont must refuse it. */
        set_stopped(RUN_STATE_INTERNAL_ERROR);
        error_prepend(errp, "The rollback has failed half-way, so the VM "
                      "cannot go on, but another rollback may be tried: ");
    } else if (!go_on(before, errp)) {
        error_prepend(errp, "The guest was rolled back, and stays stopped: ");
    }
    trace_fixed_ram_rollback_end(RunState_str(runstate_get()));
}
