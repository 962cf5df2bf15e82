/*
 * fixed-ram: what the files that know QEMU's globals share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_GLUE_H
#define MIGRATION_FIXED_RAM_GLUE_H

#include "load.h"

/* Figures of a load, also after it has ended. */
typedef struct FixedRamFigures {
    bool valid;                 /* there is or was a load of ours */
    bool on_demand;
    uint64_t total;             /* bytes of RAM */
    uint64_t wanted;            /* bytes of units that hold data */
    uint64_t left;              /* of these, bytes not received */
    FixedRamLoadStats stats;
} FixedRamFigures;

/** fixed_ram_figures(): those of the load under way, or the last one's. */
void fixed_ram_figures(FixedRamFigures *figures);

#endif
