/*
 * fixed-ram: what is checked and opened before a load changes anything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "io/channel-file.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/units.h"
#include "../options.h"
#include "../postcopy-ram.h"
#include "../qemu-file.h"
#include "preflight.h"
#include "ramblocks.h"
#include "engine/uffd.h"

/* QEMUFile reads the stream, by a descriptor of its own. */
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
        error_setg(errp, "snapshot '%s' was replaced by another file while "
                   "it was opened",
                   args->filename);
    } else if (qio_channel_io_seek(ioc, args->offset, SEEK_SET, errp) >= 0) {
        in->stream = qemu_file_new_input(ioc);
    }
    object_unref(OBJECT(fioc));
    return in->stream;
}

/* A snapshot of mapped-ram has no superblock and no index. */
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
        /* An interrupted save explains every other error. */
        error_free(err);
        fixed_ram_superblock_incomplete(file->source, errp);
    } else {
        error_propagate(errp, err);
    }
    return false;
}

bool fixed_ram_preflight_open_file(FixedRamFile *file,
                                   const FileMigrationArgs *args,
                                   const MigrationParameters *params,
                                   Error **errp)
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

/* Verify pages if the user wants that and the snapshot has checksums. */
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

static const char *this_type(void)
{
    return MACHINE_GET_CLASS(current_machine)->name;
}

/* The index names the machine.  An error that both explain better says so. */
static bool check_machine_type(const FixedRamFile *file, Error **errp)
{
    const FixedRamIndexMachine *saved = &file->index->machine;

    if (strcmp(saved->type, this_type())) {
        error_setg(errp, "snapshot '%s' was saved from machine type %s, this "
                   "is %s", file->source->name, saved->type, this_type());
        return false;
    }
    if (saved->ram_bytes != current_machine->ram_size) {
        error_setg(errp, "snapshot '%s' was saved with %" PRIu64 " MiB of RAM, "
                   "this machine has %" PRIu64 " MiB", file->source->name,
                   saved->ram_bytes / MiB, current_machine->ram_size / MiB);
        return false;
    }
    return true;
}

static bool check_machine(const FixedRamFile *file, Error **errp)
{
    bool known = file->index && file->index->has_machine;

    return (!known || check_machine_type(file, errp)) &&
           fixed_ram_ramblocks_match(file->snapshot, file->source->name, errp);
}

static bool incoming_open(FixedRamIncoming *in, const FileMigrationArgs *args,
                          Error **errp)
{
    FixedRamFile *file = &in->file;

    if (!fixed_ram_preflight_open_file(file, args, &in->ms->parameters,
                                       errp) ||
        !check_machine(file, errp)) {
        return false;
    }
    in->map = fixed_ram_ramblocks_map(file->snapshot, file->source,
                                   in->on_demand, errp);
    if (!in->map) {
        return false;
    }
    incoming_verify(in);
    return incoming_open_stream(in, args, errp);
}

bool fixed_ram_check_host(Error **errp)
{
    FixedRamUffd uffd;

    if (!fixed_ram_uffd_open(&uffd, errp)) {
        return false;
    }
    fixed_ram_uffd_close(&uffd);
    return true;
}

static bool check_on_demand(Error **errp)
{
    if (!fixed_ram_check_host(errp)) {
        return false;
    }
    if (postcopy_has_notifiers()) {
        error_setg(errp, "a vhost-user device has the guest's RAM mapped in "
                   "another process, where pages on demand cannot be served");
        return false;
    }
    if (ram_block_discard_is_disabled()) {
        error_setg(errp, "a device keeps the guest's RAM pinned (VFIO, for "
                   "example), so it cannot be filled page by page");
        return false;
    }
    return fixed_ram_ramblocks_check_postcopiable(errp);
}

static bool incoming_check_on_demand(const FixedRamIncoming *in, Error **errp)
{
    ERRP_GUARD();

    if (in->on_demand && !check_on_demand(errp)) {
        error_prepend(errp, "Loading on demand is not possible: ");
        return false;
    }
    return true;
}

FixedRamIncoming *fixed_ram_preflight_open(const FileMigrationArgs *args,
                                           Error **errp)
{
    FixedRamIncoming *in = g_new0(FixedRamIncoming, 1);
    bool ok;

    in->watchdog = fixed_ram_watchdog_new();
    in->ms = migrate_get_current();
    object_ref(OBJECT(in->ms));
    in->on_demand = in->ms->capabilities[MIGRATION_CAPABILITY_POSTCOPY_RAM];
    in->name = g_strdup(args->filename);

    ok = incoming_check_on_demand(in, errp) && incoming_open(in, args, errp);
    if (!ok) {
        if (in->on_demand) {
            fixed_ram_ramblocks_relock();
        }
        fixed_ram_incoming_free(in);
        return NULL;
    }
    return in;
}
