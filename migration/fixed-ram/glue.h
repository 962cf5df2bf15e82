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
    bool paused;                /* postcopy-paused was set; atomic */
    bool finished;              /* the BH that ends it has been here */
    Error *blocker;             /* no migration, no savevm meanwhile */
} FixedRamIncoming;

/**
 * fixed_ram_preflight(): open the snapshot and check it against this machine
 *
 * A failure leaves everything as it was.  Returns NULL then; free what is
 * returned by fixed_ram_preflight_free().
 */
FixedRamIncoming *fixed_ram_preflight(const FileMigrationArgs *args,
                                      Error **errp);

/**
 * fixed_ram_preflight_read(): open a snapshot and read its metadata
 *
 * @source: what was opened, the caller's to close, also on failure; or NULL
 *
 * Any thread.  Returns NULL on failure.
 */
FixedRamSnapshot *fixed_ram_preflight_read(const FixedRamIncoming *in,
                                           const FileMigrationArgs *args,
                                           FixedRamSource **source,
                                           Error **errp);

/** fixed_ram_preflight_free(): free @in, whose engine has ended or never was */
void fixed_ram_preflight_free(FixedRamIncoming *in);

/**
 * fixed_ram_lock_memory(): lock all memory again, where the user wants that
 *
 * postcopy_ram_supported_by_host() has unlocked it.
 */
void fixed_ram_lock_memory(void);

/**
 * fixed_ram_incoming_lock(): hold on to the load, for out-of-band code
 *
 * Returns NULL if there is none.  It does not go away before
 * fixed_ram_incoming_unlock(), which must be called in either case.
 * Any thread; guest memory must not be touched in between.
 */
FixedRamIncoming *fixed_ram_incoming_lock(void);
void fixed_ram_incoming_unlock(void);

/**
 * fixed_ram_incoming_notify(): the engine's state may have changed
 *
 * @in: a FixedRamIncoming whose engine runs.  Any thread.
 */
void fixed_ram_incoming_notify(void *in);

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
