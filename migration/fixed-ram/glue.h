/*
 * fixed-ram: what the files that know QEMU's globals share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_GLUE_H
#define MIGRATION_FIXED_RAM_GLUE_H

#include "block/aio.h"
#include "qemu/coroutine.h"
#include "../migration.h"
#include "format.h"
#include "load.h"

/*
 * A load under way.  Unless it says otherwise a field belongs to the main
 * thread, under the big lock.
 */
typedef struct FixedRamIncoming {
    bool on_demand;
    FixedRamSnapshot *snapshot;
    FixedRamSource *source;     /* until the engine takes it */
    FixedRamMap *map;
    FixedRamLoad *load;         /* from the headers on */

    MigrationState *ms;         /* a reference: parameters and errors */
    QEMUFile *stream;           /* until the incoming state takes it */
    QEMUBH *update_bh;
    Coroutine *waiter;          /* in fixed_ram_load_wait() */
    bool waited;                /* it has come back from there */
    bool switch_now;            /* migrate-start-postcopy was heard */
    bool discard_required;      /* ram_block_discard_require() was called */
    bool started;               /* precopy's tail has started the guest */
    bool finished;              /* the BH that ends it has been here */
    Error *blocker;             /* no migration, no savevm meanwhile */
} FixedRamIncoming;

/**
 * fixed_ram_incoming_get(): the load that was prepared or is under way
 *
 * NULL if there is none.  Out-of-band code may ask too: while a load is
 * paused it does not go away.
 */
FixedRamIncoming *fixed_ram_incoming_get(void);

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
