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
#include "glue.h"
#include "ramblocks.h"
#include "uffd.h"

void fixed_ram_preflight_free(FixedRamIncoming *in)
{
    fixed_ram_snapshot_free(in->snapshot);
    if (in->source) {
        fixed_ram_source_unlock(in->source);
        fixed_ram_source_close(in->source);
    }
    fixed_ram_map_free(in->map);
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
    if (!fixed_ram_source_is_file(in->source, fioc->fd)) {
        error_setg(errp, "snapshot '%s' has just been replaced by another file",
                   args->filename);
    } else if (qio_channel_io_seek(ioc, args->offset, SEEK_SET, errp) >= 0) {
        in->stream = qemu_file_new_input(ioc);
    }
    object_unref(OBJECT(fioc));
    return in->stream;
}

FixedRamSnapshot *fixed_ram_preflight_read(const FixedRamIncoming *in,
                                           const FileMigrationArgs *args,
                                           FixedRamSource **source,
                                           Error **errp)
{
    *source = fixed_ram_source_open_file(args->filename, args->offset,
                                         in->ms->parameters.direct_io, errp);
    if (!*source) {
        return NULL;
    }
    return fixed_ram_format_read(*source, args->offset,
                                 qemu_target_page_size(), errp);
}

static bool incoming_open(FixedRamIncoming *in, const FileMigrationArgs *args,
                          Error **errp)
{
    in->snapshot = fixed_ram_preflight_read(in, args, &in->source, errp);
    if (!in->snapshot ||
        !fixed_ram_blocks_match(in->snapshot, in->source->name, errp)) {
        return false;
    }
    in->map = fixed_ram_blocks_map(in->snapshot, in->source, in->on_demand,
                                   errp);
    return in->map && incoming_open_stream(in, args, errp);
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
    FixedRamExit *watch = fixed_ram_exit_watch(NULL, NULL);
    bool ok;

    in->ms = migrate_get_current();
    object_ref(OBJECT(in->ms));
    in->on_demand = in->ms->capabilities[MIGRATION_CAPABILITY_POSTCOPY_RAM];
    in->name = g_strdup(args->filename);

    ok = (!in->on_demand || incoming_on_demand_possible(errp)) &&
         incoming_open(in, args, errp);
    fixed_ram_exit_unwatch(watch);
    if (!ok) {
        if (in->on_demand) {
            fixed_ram_lock_memory();
        }
        fixed_ram_preflight_free(in);
        return NULL;
    }
    return in;
}
