/*
 * fixed-ram: what is checked and opened before a load changes anything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/target_page.h"
#include "io/channel-file.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "system/system.h"
#include "../options.h"
#include "../postcopy-ram.h"
#include "../qemu-file.h"
#include "incoming.h"
#include "ramblocks.h"
#include "engine/uffd.h"

void fixed_ram_file_close(FixedRamFile *file)
{
    fixed_ram_snapshot_free(file->snapshot);
    fixed_ram_index_free(file->index);
    fixed_ram_source_close(file->source);
    *file = (FixedRamFile) { };
}

void fixed_ram_preflight_free(FixedRamIncoming *in)
{
    fixed_ram_watchdog_free(in->watchdog);
    if (in->file.source) {
        fixed_ram_source_unlock(in->file.source);
    }
    fixed_ram_file_close(&in->file);
    fixed_ram_map_free(in->map);
    fixed_ram_sum_table_unref(in->sums);
    if (in->stream) {
        qemu_fclose(in->stream);
    }
    if (in->update_bh) {
        qemu_bh_delete(in->update_bh);
    }
    if (in->ms) {
        object_unref(OBJECT(in->ms));
    }
    g_free(in->name);
    g_free(in);
}

/* The stream is read by QEMUFile, through a descriptor of its own. */
static bool incoming_open_stream(FixedRamIncoming *in,
                                 const FileMigrationArgs *args, Error **errp)
{
    QIOChannelFile *fioc = qio_channel_file_new_path(args->filename, O_RDONLY,
                                                     0, errp);
    QIOChannel *ioc = QIO_CHANNEL(fioc);

    if (!fioc) {
        return false;
    }
    qio_channel_set_name(ioc, "migration-fixed-ram-incoming");
    if (!fixed_ram_source_is_file(in->file.source, fioc->fd)) {
        error_setg(errp, "snapshot '%s' has just been replaced by another file",
                   args->filename);
    } else if (qio_channel_io_seek(ioc, args->offset, SEEK_SET, errp) >= 0) {
        in->stream = qemu_file_new_input(ioc);
    }
    object_unref(OBJECT(fioc));
    return in->stream;
}

/* What the snapshot says of itself; one without an index says nothing. */
static bool file_read_index(FixedRamFile *file, Error **errp)
{
    FixedRamSuperblock sb;

    if (!fixed_ram_superblock_read(file->source, file->snapshot, &sb, errp)) {
        return false;
    }
    switch (sb.state) {
    case FIXED_RAM_PLAIN:
        return true;
    case FIXED_RAM_BEING_WRITTEN:
        fixed_ram_superblock_incomplete(file->source, errp);
        return false;
    case FIXED_RAM_COMPLETE:
        file->index = fixed_ram_index_read(file->source, file->snapshot, &sb,
                                           errp);
        return file->index;
    default:
        g_assert_not_reached();
    }
}

static bool save_was_cut_off(FixedRamSource *source, uint64_t start)
{
    g_autoptr(FixedRamSnapshot) first =
        fixed_ram_format_read_first(source, start, NULL);
    FixedRamSuperblock sb;

    return first && fixed_ram_superblock_read(source, first, &sb, NULL) &&
           sb.state == FIXED_RAM_BEING_WRITTEN;
}

static bool file_read_headers(FixedRamFile *file, uint64_t start,
                              Error **errp)
{
    Error *err = NULL;

    file->snapshot = fixed_ram_format_read(file->source, start,
                                           qemu_target_page_size(), &err);
    if (file->snapshot) {
        return true;
    }
    if (save_was_cut_off(file->source, start)) {
        /* No wonder if there is more that is wrong. */
        error_free(err);
        fixed_ram_superblock_incomplete(file->source, errp);
    } else {
        error_propagate(errp, err);
    }
    return false;
}

bool fixed_ram_file_open(FixedRamFile *file, const FileMigrationArgs *args,
                         const MigrationParameters *params, Error **errp)
{
    *file = (FixedRamFile) {
        .source = fixed_ram_source_open_file(args->filename, args->offset,
                                             params->direct_io, errp),
    };
    return file->source && file_read_headers(file, args->offset, errp) &&
           file_read_index(file, errp) &&
           (!file->index || !params->fixed_ram_verify ||
            fixed_ram_index_verify_stream(file->index, file->source, errp));
}

/* Have pages verified, if the user wants that and the snapshot has sums. */
static void incoming_verify(FixedRamIncoming *in)
{
    const FixedRamFile *file = &in->file;

    if (!file->index || !in->ms->parameters.fixed_ram_verify) {
        return;
    }
    in->sums = fixed_ram_sum_table_new(file->index);
    for (size_t i = 0; in->sums && i < in->map->blocks->len; i++) {
        fixed_ram_map_block(in->map, i)->first_cluster =
            fixed_ram_index_block(file->index, i)->first_cluster;
    }
    if (in->sums) {
        fixed_ram_sum_table_expect(in->sums, file->source);
    }
}

static bool incoming_open(FixedRamIncoming *in, const FileMigrationArgs *args,
                          Error **errp)
{
    FixedRamFile *file = &in->file;

    if (!fixed_ram_file_open(file, args, &in->ms->parameters, errp) ||
        !fixed_ram_machine_match(file, errp)) {
        return false;
    }
    in->map = fixed_ram_blocks_map(file->snapshot, file->source,
                                   in->on_demand, errp);
    if (!in->map) {
        return false;
    }
    incoming_verify(in);
    return incoming_open_stream(in, args, errp);
}

/* Locking all memory was put off, see postcopy_ram_supported_by_host(). */
void fixed_ram_lock_memory(void)
{
    if (should_mlock(mlock_state) &&
        os_mlock(is_mlock_on_fault(mlock_state)) < 0) {
        /* The guest is whole all the same. */
        error_report("mlock: %s", strerror(errno));
    }
}

bool fixed_ram_host_check(Error **errp)
{
    FixedRamUffd uffd;

    if (!fixed_ram_uffd_open(&uffd, errp)) {
        return false;
    }
    fixed_ram_uffd_close(&uffd);
    return true;
}

static bool incoming_on_demand_possible(Error **errp)
{
    ERRP_GUARD();

    if (!fixed_ram_host_check(errp)) {
        /* The error says what is missing. */
    } else if (postcopy_has_notifiers()) {
        error_setg(errp, "a vhost-user device has the guest's RAM mapped in "
                   "another process, where pages on demand cannot be served");
    } else if (ram_block_discard_is_disabled()) {
        error_setg(errp, "a device keeps the guest's RAM pinned (VFIO, for "
                   "example), so it cannot be filled page by page");
    } else if (fixed_ram_blocks_postcopiable(errp)) {
        return true;
    }
    error_prepend(errp, "Loading on demand is not possible: ");
    return false;
}

FixedRamIncoming *fixed_ram_preflight(const FileMigrationArgs *args,
                                      Error **errp)
{
    FixedRamIncoming *in = g_new0(FixedRamIncoming, 1);
    bool ok;

    in->watchdog = fixed_ram_watchdog_new();
    in->ms = migrate_get_current();
    object_ref(OBJECT(in->ms));
    in->on_demand = in->ms->capabilities[MIGRATION_CAPABILITY_POSTCOPY_RAM];
    in->name = g_strdup(args->filename);

    ok = (!in->on_demand || incoming_on_demand_possible(errp)) &&
         incoming_open(in, args, errp);
    if (!ok) {
        if (in->on_demand) {
            fixed_ram_lock_memory();
        }
        fixed_ram_preflight_free(in);
        return NULL;
    }
    return in;
}
