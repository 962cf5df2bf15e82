/*
 * fixed-ram: the load under way, and which thread may use it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_INCOMING_STATE_H
#define MIGRATION_FIXED_RAM_INCOMING_STATE_H

#include "block/aio.h"
#include "qemu/coroutine.h"
#include "../migration.h"
#include "watchdog.h"
#include "format/snapshot.h"
#include "engine/load.h"

/*
 * A load, from pre-flight to its end.
 *
 * The main thread creates it, changes it under the BQL and frees it.  Two kinds
 * of other threads look at it.  The engine's threads end before it is freed.
 * An out-of-band command takes hold of it by fixed_ram_incoming_get(): until
 * fixed_ram_incoming_put() it is neither finished nor freed.
 */
typedef struct FixedRamIncoming {
    /*
     * Pre-flight sets these, and they stay until the load is freed.  The page
     * map has rules of its own, see engine/map.h.
     */
    bool on_demand;
    char *name;                 /* the file's path */
    FixedRamMap *map;
    FixedRamSumTable *sums;     /* NULL: pages are not verified */
    MigrationState *ms;         /* a reference, for parameters and errors */

    /*
     * What pre-flight has read.  The engine takes snapshot->source when it
     * starts; the rest does not change.
     */
    FixedRamSnapshot *snapshot;

    /*
     * The main thread sets these before the engine's threads start, and clears
     * them after the threads have ended.  In between any thread that may look
     * at the load may use them.
     */
    FixedRamLoad *load;
    QEMUBH *update_bh;          /* looks at the engine's state */

    /* Main thread only, under the BQL. */
    FixedRamWatchdog *watchdog; /* from pre-flight to the end; or NULL */
    QEMUFile *stream;           /* until the incoming migration takes it */
    Coroutine *waiter;          /* in fixed_ram_incoming_wait_share() */
    bool switch_now;            /* migrate-start-postcopy was called */
    bool discard_required;      /* ram_block_discard_require() was called */
    bool started;               /* the guest runs, or waits for cont */
    int64_t start_ms;           /* when it began, by QEMU_CLOCK_REALTIME */
    Error *blocker;             /* of migration and savevm during the load */

    /* Atomic: the main thread sets it, loaders read it. */
    bool waited;                /* the share that comes first is loaded */

    /* Under the lock of incoming-state.c. */
    bool busy;                  /* an out-of-band command has hold of it */
    bool finished;              /* update_bh is ending the load */
} FixedRamIncoming;

/** fixed_ram_incoming_current(): the load under way, or NULL.  Main thread. */
FixedRamIncoming *fixed_ram_incoming_current(void);

/**
 * fixed_ram_incoming_set(): make @in the load under way; NULL: there is none
 *
 * Main thread.
 */
void fixed_ram_incoming_set(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_free(): free @in and unlock its file
 *
 * Main thread.  @in is not the load under way any more, and its engine has
 * been freed or was never made.
 */
void fixed_ram_incoming_free(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_get(): take hold of the load, for an out-of-band command
 *
 * @state: the state that the incoming migration must be in
 *
 * Returns NULL if there is no load, if the migration is in another state, or if
 * another command has hold of the load.  Until fixed_ram_incoming_put() the
 * load neither ends nor pauses.  Any thread; the caller must not touch guest
 * memory in between.
 */
FixedRamIncoming *fixed_ram_incoming_get(MigrationStatus state);

/**
 * fixed_ram_incoming_put(): let the load go
 *
 * @state: the incoming migration's state from now on
 *
 * The main thread may free @in at once: the caller must not use it any more.
 */
void fixed_ram_incoming_put(FixedRamIncoming *in, MigrationStatus state);

/**
 * fixed_ram_incoming_busy(): does a command have hold of a load in @state?
 *
 * Any thread.
 */
bool fixed_ram_incoming_busy(MigrationStatus state);

/**
 * fixed_ram_incoming_pause(): if the engine has stalled, pause the migration
 *
 * @in: a load whose engine exists
 *
 * Reports the reason.  Does nothing while a command has hold of the load:
 * fixed_ram_incoming_put() makes up for it.  The engine's threads and the main
 * thread.
 */
void fixed_ram_incoming_pause(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_may_finish(): is every page there, and no command busy?
 *
 * Returns true once; from then on no command gets hold of the load.  Main
 * thread.
 */
bool fixed_ram_incoming_may_finish(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_block_lost(): forbid to save or migrate from now on
 *
 * @bytes: how much of the guest's RAM was given up
 *
 * Main thread.
 */
void fixed_ram_incoming_block_lost(uint64_t bytes);

#endif
