/*
 * fixed-ram: save a delta while its base is still being loaded
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "system/runstate.h"
#include "../migration.h"
#include "../options.h"
#include "compat.h"
#include "format/layers.h"
#include "outgoing-absent.h"

/*
 * To close a descriptor that can be read would drop the locks of this process
 * on hosts that know POSIX locks only.
 */
static bool is_loaded_file(const FixedRamIncoming *in, const char *path)
{
    int fd = qemu_open(path, O_PATH, NULL);
    bool same = fd >= 0 &&
                fixed_ram_source_is_file(fixed_ram_layers_own(in->snapshot),
                                         fd);

    if (fd >= 0) {
        qemu_close(fd);
    }
    return same;
}

bool fixed_ram_outgoing_absent_allowed(const FixedRamIncoming *in)
{
    const char *base = in->ms->parameters.fixed_ram_base;

    return migrate_fixed_ram() && !migrate_background_snapshot() &&
           !runstate_is_live(runstate_get()) && base && *base &&
           is_loaded_file(in, base);
}

bool fixed_ram_outgoing_absent_in(const FixedRamSnapshot *base)
{
    FixedRamIncoming *in = fixed_ram_incoming_get();
    bool same;

    if (!in) {
        return false;
    }
    same = fixed_ram_layers_same_file(base, in->snapshot);
    fixed_ram_incoming_put(in, fixed_ram_incoming_status(in));
    return same;
}

unsigned long *fixed_ram_outgoing_absent(RAMBlock *rb)
{
    FixedRamIncoming *in = fixed_ram_incoming_get();
    unsigned long *pages = NULL;
    const FixedRamBlock *block;

    if (!in) {
        return NULL;
    }
    block = fixed_ram_map_find(in->map, (uintptr_t)rb->host);
    if (block) {
        pages = bitmap_new(block->length / block->page_size);
        fixed_ram_map_absent(block, pages);
    }
    fixed_ram_incoming_put(in, fixed_ram_incoming_status(in));
    return pages;
}
