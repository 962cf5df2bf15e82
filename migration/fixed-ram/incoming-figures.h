/*
 * fixed-ram: figures of the load under way, or of the last one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_INCOMING_FIGURES_H
#define MIGRATION_FIXED_RAM_INCOMING_FIGURES_H

#include "incoming-state.h"

/* Figures of a load. */
typedef struct FixedRamFigures {
    bool valid;                 /* there is a load, or there was one */
    bool on_demand;
    bool mapped;                /* RAM is a mapping of the file */
    bool verified;              /* each page is checked when it is read */
    uint64_t total;             /* bytes of RAM */
    uint64_t wanted;            /* bytes of units that hold data */
    uint64_t left;              /* bytes of these that are still missing */
    uint64_t time_ms;           /* since the load began, or until its end */
    bool has_set;               /* the snapshot's working set comes first */
    FixedRamWorkingSetKind set_kind;
    uint64_t set_pages;         /* pages of the working set */
    FixedRamLoadStats stats;
} FixedRamFigures;

/**
 * fixed_ram_incoming_figures(): figures of the load under way, or of the last
 *
 * Main thread.
 */
void fixed_ram_incoming_figures(FixedRamFigures *figures);

/**
 * fixed_ram_incoming_keep_figures(): @in has ended; the figures stay
 *
 * Its engine's threads have ended, too.  Main thread.
 */
void fixed_ram_incoming_keep_figures(const FixedRamIncoming *in);

/**
 * fixed_ram_incoming_record_info(): the record of a working set
 *
 * Of the load under way, or the last one; NULL if there is none.  The caller
 * frees it.  Main thread.
 */
FixedRamRecordInfo *fixed_ram_incoming_record_info(void);

#endif
