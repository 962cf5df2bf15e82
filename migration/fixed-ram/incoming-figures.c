/*
 * fixed-ram: figures of the load under way, or of the last one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "incoming-figures.h"

/* Of the last load that has ended.  Main thread. */
static FixedRamFigures last_figures;

static void take_figures(const FixedRamIncoming *in,
                         FixedRamFigures *figures)
{
    figures->valid = true;
    figures->on_demand = in->on_demand;
    figures->mapped = in->mapped;
    figures->verified = in->mapped ? in->verified_first ||
                                     fixed_ram_mapped_verified(in->snapshot)
                                   : in->sums != NULL;
    figures->total = in->map->total;
    figures->wanted = in->map->wanted;
    figures->left = in->mapped ? 0 : fixed_ram_map_left(in->map);
    figures->time_ms = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - in->start_ms;
    if (in->load) {
        figures->stats = *fixed_ram_load_stats(in->load);
    }
    figures->has_set = in->set;
    if (in->set) {
        figures->set_kind = in->set->kind;
        figures->set_pages = in->set->pages;
    }
}

void fixed_ram_incoming_keep_figures(const FixedRamIncoming *in)
{
    take_figures(in, &last_figures);
}

void fixed_ram_incoming_figures(FixedRamFigures *figures)
{
    const FixedRamIncoming *in = fixed_ram_incoming_current();

    if (in && (in->load || in->ram_mapped)) {
        take_figures(in, figures);
    } else {
        *figures = last_figures;
    }
}

FixedRamRecordInfo *fixed_ram_incoming_record_info(void)
{
    const FixedRamIncoming *in = fixed_ram_incoming_current();

    return fixed_ram_recorder_info(in ? in->load : NULL);
}
