/*
 * fixed-ram: save what differs from another snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "system/runstate.h"
#include "../migration.h"
#include "../options.h"
#include "compat.h"
#include "format/sums.h"
#include "outgoing-delta.h"
#include "trace.h"

/* In the header of each block: no reader of full snapshots accepts it. */
#define DELTA_HEADER_VERSION    2

/* NULL: the save under way is no delta.  See the header for its threads. */
static FixedRamDelta *delta;

static bool check(Error **errp)
{
    const char *why = NULL;

    if (!migrate_background_snapshot() && runstate_is_live(runstate_get())) {
        why = "the guest runs: stop it, or set background-snapshot";
    } else if (!fixed_ram_sums_built()) {
        why = "QEMU was built without libxxhash";
    } else if (!migrate_fixed_ram_verify()) {
        why = "there are no checksums without 'fixed-ram-verify'";
    }
    if (why) {
        error_setg(errp, "fixed-ram-base is set, but %s", why);
    }
    return !why;
}

bool fixed_ram_outgoing_delta_open(int fd, const char *name, Error **errp)
{
    const char *path = migrate_get_current()->parameters.fixed_ram_base;
    g_autoptr(FixedRamDelta) opened = NULL;

    if (!path || !*path) {
        return true;
    }
    if (!check(errp)) {
        return false;
    }
    opened = fixed_ram_delta_new(path, qemu_target_page_size(), errp);
    if (!opened) {
        error_prepend(errp, "fixed-ram-base: ");
        return false;
    }
    if (fixed_ram_delta_is_file(opened, fd)) {
        error_setg(errp, "snapshot '%s' cannot be a delta to '%s': it is that "
                   "file, or one of its layers", name, path);
        return false;
    }
    trace_fixed_ram_outgoing_delta(name, fixed_ram_delta_name(opened));
    delta = g_steal_pointer(&opened);
    return true;
}

void fixed_ram_outgoing_delta_close(void)
{
    fixed_ram_delta_free(g_steal_pointer(&delta));
}

FixedRamDelta *fixed_ram_outgoing_delta(void)
{
    return delta;
}

uint32_t fixed_ram_outgoing_version(uint32_t full)
{
    return delta ? DELTA_HEADER_VERSION : full;
}

void fixed_ram_outgoing_delta_written(const RAMBlock *block, uint64_t offset,
                                      uint64_t length)
{
    if (delta) {
        fixed_ram_delta_written(fixed_ram_delta_find(delta, block->idstr),
                                offset, length);
    }
}

/* Write the pages from @first up to @end that have data. */
static bool write_cluster(RAMBlock *block, uint64_t first, uint64_t end,
                          FixedRamWriteFunc *write, Error **errp)
{
    uint64_t size = qemu_target_page_size();
    uint64_t from = find_next_bit(block->file_bmap, end, first);

    while (from < end) {
        uint64_t to = find_next_zero_bit(block->file_bmap, end, from);

        if (!write(block, from * size, (to - from) * size, errp)) {
            return false;
        }
        from = find_next_bit(block->file_bmap, end, to);
    }
    return true;
}

bool fixed_ram_outgoing_delta_complete(RAMBlock *block,
                                       FixedRamWriteFunc *write, Error **errp)
{
    uint64_t per_cluster = FIXED_RAM_CLUSTER_BYTES / qemu_target_page_size();
    uint64_t pages = block->used_length / qemu_target_page_size();
    FixedRamDeltaBlock *torn;
    uint64_t cluster = 0;

    if (!delta) {
        return true;
    }
    torn = fixed_ram_delta_find(delta, block->idstr);
    while (fixed_ram_delta_next_torn(torn, &cluster)) {
        uint64_t first = cluster * per_cluster;

        if (!write_cluster(block, first, MIN(first + per_cluster, pages),
                           write, errp)) {
            return false;
        }
    }
    return true;
}
