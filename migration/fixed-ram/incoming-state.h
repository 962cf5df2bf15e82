/*
 * fixed-ram: the load under way, and which thread may use it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_INCOMING_STATE_H
#define MIGRATION_FIXED_RAM_INCOMING_STATE_H

#include "qemu/coroutine.h"
#include "../migration.h"
#include "load-job.h"
#include "mapped.h"
#include "recorder.h"
#include "watchdog.h"
#include "format/snapshot.h"
#include "engine/load.h"

/*
 * A load, from pre-flight to its end.
 *
 * The main thread creates it, changes it under the BQL and frees it.  Two kinds
 * of other threads look at it.  The engine's threads end before it is freed.
 * A command, or the thread of a recovery, takes hold of it by
 * fixed_ram_incoming_get(): until fixed_ram_incoming_put() it is neither
 * finished nor freed.
 */
typedef struct FixedRamIncoming {
    /*
     * Pre-flight sets these, and they stay until the load is freed.  The page
     * map has rules of its own, see engine/map.h.
     */
    bool on_demand;
    bool background;            /* on demand, and a job: see background.h */
    bool mapped;                /* RAM becomes a mapping: there is no engine */
    char *name;                 /* the file's name in messages */
    OnOffAuto direct;           /* how the file is opened */
    bool verify;                /* check the stream by its checksums */
    FixedRamMap *map;
    FixedRamSumTable *sums;     /* NULL: pages are not verified */
    bool verified_first;        /* all pages were, before the load began */
    FixedRamWorkingSet *set;    /* what comes first; NULL: nothing */
    FixedRamRecorderConfig record; /* @seconds is 0: no record */
    MigrationState *ms;         /* a reference, for parameters and errors */

    /*
     * The main thread sets these before the engine's threads start, and clears
     * them after the threads have ended.  In between any thread that may look
     * at the load may use them.
     */
    FixedRamLoad *load;
    QEMUBH *update_bh;          /* looks at the engine's state */

    /*
     * The main thread until the guest starts, then the thread that has hold of
     * the load.
     */
    FixedRamSnapshot *snapshot; /* the file that the engine reads */
    unsigned recovery;          /* number of the last recovery that began */

    /* Main thread only, under the BQL. */
    FixedRamMapping *mapping;   /* the plan, until RAM is mapped; or NULL */
    bool ram_mapped;            /* RAM is mapped */
    bool kept;                  /* @snapshot and @map belong to the mapping */
    FixedRamWatchdog *watchdog; /* from pre-flight to the end; or NULL */
    FixedRamRecorder *recorder; /* while there is an engine that records */
    QEMUFile *stream;           /* until the incoming migration takes it */
    Coroutine *waiter;          /* in fixed_ram_incoming_wait_share() */
    bool switch_now;            /* migrate-start-postcopy was called */
    bool discard_required;      /* ram_block_discard_require() was called */
    FixedRamLoadJob *job;       /* in the background; or NULL */
    int64_t start_ms;           /* when it began, by QEMU_CLOCK_REALTIME */
    Error *blocker;             /* of migration and savevm during the load */

    /* Atomic: the main thread sets it, loaders read it. */
    bool waited;                /* the share that comes first is loaded */
    bool unlimited;             /* a migration waits: all loaders may read */

    /* Under the lock of incoming-state.c. */
    MigrationStatus status;     /* of the load, once the stream is read */
    bool started;               /* the guest runs, or waits for cont */
    bool busy;                  /* a thread has hold of the load */
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
 * fixed_ram_incoming_get(): take hold of a load on demand whose guest runs
 *
 * Returns NULL if there is none.  Until fixed_ram_incoming_put() the load
 * neither ends nor pauses, and its @status is the caller's: postcopy-active,
 * postcopy-paused or postcopy-recover-setup.
 *
 * Waits for another thread that has hold of the load.  So the caller must
 * neither read a file nor touch guest memory before it lets the load go.  Any
 * thread.
 */
FixedRamIncoming *fixed_ram_incoming_get(void);

/**
 * fixed_ram_incoming_get_recovery(): the same for the thread of a recovery
 *
 * Returns NULL, too, if the recovery with this number is not under way any
 * more.
 */
FixedRamIncoming *fixed_ram_incoming_get_recovery(unsigned number);

/**
 * fixed_ram_incoming_put(): let the load go
 *
 * @status: the load's status from now on
 *
 * The main thread may free @in at once: the caller must not use it any more.
 */
void fixed_ram_incoming_put(FixedRamIncoming *in, MigrationStatus status);

/**
 * fixed_ram_incoming_set_status(): change the status of a load
 *
 * Only for a thread that has hold of the load, or before its guest may run.
 */
void fixed_ram_incoming_set_status(FixedRamIncoming *in,
                                   MigrationStatus status);

/** fixed_ram_incoming_status(): the load's status.  Any thread. */
MigrationStatus fixed_ram_incoming_status(FixedRamIncoming *in);

/** fixed_ram_incoming_set_started(): the guest may run.  Main thread. */
void fixed_ram_incoming_set_started(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_error(): why the load is paused, or NULL
 *
 * The caller frees it.  Any thread.
 */
Error *fixed_ram_incoming_error(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_set_error(): change what query-migrate tells as the reason
 *
 * @err: taken; NULL: there is none any more
 *
 * Any thread.
 */
void fixed_ram_incoming_set_error(FixedRamIncoming *in, Error *err);

/**
 * fixed_ram_incoming_pause(): if the engine has stalled, pause the migration
 *
 * @in: a load whose engine exists
 *
 * Reports the reason.  Does nothing while a thread has hold of the load:
 * fixed_ram_incoming_put() makes up for it.  The engine's threads and the main
 * thread.
 */
void fixed_ram_incoming_pause(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_may_finish(): is every page there, and the load not held?
 *
 * Returns true once; from then on no thread gets hold of the load.  Main
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
