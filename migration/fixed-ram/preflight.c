/*
 * fixed-ram: what is checked and opened before a load changes anything
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "io/channel-file.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/units.h"
#include "../options.h"
#include "../postcopy-ram.h"
#include "../qemu-file.h"
#include "compat.h"
#include "incoming-set.h"
#include "machine-options.h"
#include "preflight.h"
#include "ramblocks.h"
#include "settings.h"
#include "engine/uffd.h"
#include "engine/verify-all.h"
#include "format/layers.h"
#include "util/text.h"

/* So many threads keep a disk busy while some of them compute checksums. */
#define VERIFY_THREADS  4

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
    if (!fixed_ram_source_is_file(in->snapshot->source, fioc->fd)) {
        error_setg(errp, "snapshot '%s' was replaced by another file while "
                   "it was opened",
                   args->filename);
    } else if (qio_channel_io_seek(ioc, args->offset, SEEK_SET, errp) >= 0) {
        in->stream = qemu_file_new_input(ioc);
    }
    object_unref(OBJECT(fioc));
    return in->stream;
}

static FixedRamSnapshot *open_file(const FileMigrationArgs *args,
                                   OnOffAuto direct, Error **errp)
{
    const FixedRamLayersConfig config = { .direct = direct };
    g_autoptr(FixedRamSource) source =
        fixed_ram_source_open_file(args->filename, args->offset, direct, errp);
    g_autoptr(FixedRamSnapshot) s = NULL;

    if (!source) {
        return NULL;
    }
    fixed_ram_source_spare_cache(source);
    s = fixed_ram_snapshot_open(source, args->offset, qemu_target_page_size(),
                                errp);
    if (!s || !fixed_ram_layers_open(s, &config, errp)) {
        return NULL;
    }
    return g_steal_pointer(&s);
}

/* Everything but the pages; those are verified when they are read. */
static bool incoming_verify_stream(const FixedRamIncoming *in, Error **errp)
{
    const FixedRamSnapshot *s = in->snapshot;

    return !s->index || !in->verify ||
           fixed_ram_index_verify_stream(s->index, s->source, errp);
}

/*
 * Verify pages if the user wants that and the snapshot has checksums.  The
 * kernel reads those of a mapping; there the sums are for pages of a copy.
 */
static void incoming_verify(FixedRamIncoming *in)
{
    const FixedRamSnapshot *s = in->snapshot;

    if (!s->index || !in->verify) {
        return;
    }
    in->sums = fixed_ram_sumtable_new(s->index);
    for (size_t i = 0; in->sums && i < in->map->blocks->len; i++) {
        fixed_ram_map_block(in->map, i)->first_cluster =
            fixed_ram_index_block(s->index, i)->first_cluster;
    }
    if (in->sums && (!in->mapped || fixed_ram_settings_verify_first())) {
        fixed_ram_sumtable_expect(in->sums, s->source);
    }
}

/*
 * The main thread answers no command meanwhile.  But as long as nothing has
 * been changed, another file can be tried.
 */
static bool incoming_verify_first(FixedRamIncoming *in, Error **errp)
{
    if (!fixed_ram_settings_verify_first()) {
        return true;
    }
    if (!in->sums) {
        error_setg(errp, "snapshot '%s' has no checksums to verify it by, and "
                   "fixed-ram-verify is full", in->name);
        return false;
    }
    in->verified_first = fixed_ram_verify_all(in->map, in->snapshot->source,
                                              in->sums, VERIFY_THREADS, errp);
    return in->verified_first;
}

static bool incoming_check_record(FixedRamIncoming *in, Error **errp)
{
    const FixedRamSnapshot *s = in->snapshot;
    const char *why = NULL;

    if (!in->record.seconds) {
        return true;
    }
    if (!in->on_demand) {
        why = "the load is not on demand";
    } else if (!s->index) {
        why = "a file of mapped-ram has no place for a working set";
    } else if (!fixed_ram_sums_built()) {
        why = "QEMU was built without libxxhash";
    }
    if (why) {
        error_setg(errp, "snapshot '%s': fixed-ram-record is set, but %s",
                   s->source->name, why);
    }
    return !why;
}

static const char *this_type(void)
{
    return MACHINE_GET_CLASS(current_machine)->name;
}

/*
 * The index names the machine.  This comes before the RAM blocks are compared,
 * whose lengths differ as a consequence.
 */
static bool check_machine_type(const FixedRamSnapshot *s, Error **errp)
{
    const FixedRamIndexMachine *saved = &s->index->machine;
    g_autofree char *type = fixed_ram_text_printable(saved->type);

    if (strcmp(saved->type, this_type())) {
        error_setg(errp, "snapshot '%s' was saved from machine type %s, this "
                   "is %s", s->source->name, type, this_type());
        return false;
    }
    if (saved->ram_bytes != current_machine->ram_size) {
        error_setg(errp, "snapshot '%s' was saved with %" PRIu64 " MiB of RAM, "
                   "this machine has %" PRIu64 " MiB", s->source->name,
                   saved->ram_bytes / MiB, current_machine->ram_size / MiB);
        return false;
    }
    return true;
}

static bool check_machine(const FixedRamSnapshot *s, Error **errp)
{
    ERRP_GUARD();
    bool known = s->index && s->index->has_machine;

    if ((!known || check_machine_type(s, errp)) &&
        fixed_ram_ramblocks_match(s->ram, s->source->name, errp)) {
        return true;
    }
    fixed_ram_machine_options_explain(s->index ? s->index->options : NULL,
                                      errp);
    return false;
}

static bool incoming_plan(FixedRamIncoming *in, Error **errp)
{
    if (in->mapped) {
        in->mapping = fixed_ram_mapped_plan(in->snapshot, in->map, errp);
        return in->mapping;
    }
    return in->on_demand ||
           fixed_ram_ramblocks_check_room(in->map, in->name, errp);
}

/*
 * The snapshot must fit this machine before bitmaps and the devices' state are
 * read: only then do blocks, and so bitmaps, have lengths that make sense.
 */
static bool incoming_open(FixedRamIncoming *in, const FileMigrationArgs *args,
                          Error **errp)
{
    in->snapshot = open_file(args, in->direct, errp);
    if (!in->snapshot) {
        return false;
    }
    in->name = g_strdup(in->snapshot->source->name);
    if (!check_machine(in->snapshot, errp) ||
        !incoming_check_record(in, errp) ||
        !incoming_verify_stream(in, errp) ||
        !fixed_ram_snapshot_identify(in->snapshot, errp)) {
        return false;
    }
    in->map = fixed_ram_ramblocks_map(in->snapshot->ram, in->snapshot->source,
                                      in->on_demand, errp);
    if (!in->map || !incoming_plan(in, errp)) {
        return false;
    }
    incoming_verify(in);
    fixed_ram_incoming_read_set(in);
    return incoming_open_stream(in, args, errp) &&
           incoming_verify_first(in, errp);
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

/* mapped-ram alone allows it, and then the other capabilities decide. */
static bool check_ignore_shared(Error **errp)
{
    if (migrate_ignore_shared()) {
        error_setg(errp, "Capability 'x-ignore-shared' is incompatible with "
                   "'postcopy-ram' and 'fixed-ram-load-mode'");
        return false;
    }
    return true;
}

/* A mode that only -global asks for must not keep a guest from its load. */
static bool incoming_check_on_demand(FixedRamIncoming *in, Error **errp)
{
    Error *err = NULL;

    if (!check_on_demand(&err)) {
        if (!fixed_ram_settings_mode_is_wish()) {
            error_propagate_prepend(errp, err, "Loading on demand is not "
                                    "possible: ");
            return false;
        }
        warn_reportf_err(err, "Loading on demand is not possible, so all RAM "
                         "is loaded before the guest starts: ");
        fixed_ram_ramblocks_relock();
        in->on_demand = false;
    }
    return true;
}

static bool incoming_check_mode(FixedRamIncoming *in, Error **errp)
{
    ERRP_GUARD();

    if (in->on_demand && !incoming_check_on_demand(in, errp)) {
        return false;
    }
    in->background = in->on_demand &&
        !in->ms->capabilities[MIGRATION_CAPABILITY_POSTCOPY_RAM];
    if (in->mapped && !fixed_ram_mapped_check(errp)) {
        error_prepend(errp, "RAM cannot be a mapping of the snapshot: ");
        return false;
    }
    return true;
}

FixedRamIncoming *fixed_ram_preflight_open(const FileMigrationArgs *args,
                                           Error **errp)
{
    FixedRamIncoming *in = g_new0(FixedRamIncoming, 1);
    FixedRamLoadMode mode = fixed_ram_settings_mode_now();
    bool ok;

    in->watchdog = fixed_ram_watchdog_new();
    in->ms = migrate_get_current();
    object_ref(OBJECT(in->ms));
    in->on_demand = mode == FIXED_RAM_LOAD_MODE_ON_DEMAND;
    in->mapped = mode == FIXED_RAM_LOAD_MODE_MAPPED;
    in->direct = fixed_ram_settings_direct();
    in->verify = migrate_fixed_ram_verify();
    in->record = (FixedRamRecorderConfig) {
        .seconds = in->ms->parameters.fixed_ram_record,
        .pack = in->ms->parameters.fixed_ram_record_pack,
        .start = args->offset,
    };

    ok = check_ignore_shared(errp) && incoming_check_mode(in, errp) &&
         incoming_open(in, args, errp);
    if (!ok) {
        fixed_ram_ramblocks_relock();
        fixed_ram_incoming_free(in);
        return NULL;
    }
    return in;
}
