/*
 * fixed-ram: what the files that know QEMU's globals share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_INCOMING_H
#define MIGRATION_FIXED_RAM_INCOMING_H

#include "block/aio.h"
#include "qemu/coroutine.h"
#include "../migration.h"
#include "watchdog.h"
#include "format/index.h"
#include "engine/load.h"

/* A snapshot that has been opened, and what its metadata says. */
typedef struct FixedRamFile {
    FixedRamSource *source;
    FixedRamSnapshot *snapshot;
    FixedRamIndex *index;       /* NULL: it has none, mapped-ram's */
} FixedRamFile;

/*
 * A load under way.  Unless it says otherwise a field belongs to the main
 * thread, under the big lock.
 */
typedef struct FixedRamIncoming {
    bool on_demand;
    char *name;                 /* of the file */
    FixedRamFile file;          /* its source until the engine takes it */
    FixedRamMap *map;
    FixedRamSumTable *sums;     /* NULL: nothing is verified */
    FixedRamLoad *load;         /* from the headers on */
    FixedRamWatchdog *watchdog; /* from pre-flight to the end; or NULL */

    MigrationState *ms;         /* a reference: parameters and errors */
    QEMUFile *stream;           /* until the incoming state takes it */
    QEMUBH *update_bh;
    Coroutine *waiter;          /* in fixed_ram_load_wait() */
    bool waited;                /* it has come back from there; atomic */
    bool switch_now;            /* migrate-start-postcopy was heard */
    bool discard_required;      /* ram_block_discard_require() was called */
    bool started;               /* precopy's tail has started the guest */
    Error *blocker;             /* no migration, no savevm meanwhile */

    /* Guarded by the lock of incoming.c. */
    bool busy;                  /* an out-of-band command is at work on it */
    bool finished;              /* the BH that ends it has been here */
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
 * fixed_ram_file_open(): open a snapshot and read its metadata
 *
 * @params: direct-io, and whether the stream is to be verified
 *
 * An incomplete snapshot is refused.  @file is the caller's to close, also on
 * failure.  Any thread.
 */
bool fixed_ram_file_open(FixedRamFile *file, const FileMigrationArgs *args,
                         const MigrationParameters *params, Error **errp);

/**
 * fixed_ram_file_close(): free all that is left in @file
 *
 * Does not unlock the source: its lock may be another one's, too.
 */
void fixed_ram_file_close(FixedRamFile *file);

/**
 * fixed_ram_machine_match(): does the snapshot fit this machine?
 *
 * The error says what was saved and what this is, if the snapshot knows.
 */
bool fixed_ram_machine_match(const FixedRamFile *file, Error **errp);

/** fixed_ram_preflight_free(): free @in, whose engine has ended or never was */
void fixed_ram_preflight_free(FixedRamIncoming *in);

/**
 * fixed_ram_lock_memory(): lock all memory again, where the user wants that
 *
 * postcopy_ram_supported_by_host() has unlocked it.
 */
void fixed_ram_lock_memory(void);

/** fixed_ram_incoming_now(): the load under way, or NULL */
FixedRamIncoming *fixed_ram_incoming_now(void);

/** fixed_ram_incoming_set(): from now on it is @in, or none if NULL. */
void fixed_ram_incoming_set(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_get(): take hold of the load, for an out-of-band command
 *
 * @state: only if this is the migration's
 *
 * Returns NULL if there is none, or if another command has it.  Until
 * fixed_ram_incoming_put() it neither ends nor pauses.  Any thread; guest
 * memory must not be touched in between.
 */
FixedRamIncoming *fixed_ram_incoming_get(MigrationStatus state);

/**
 * fixed_ram_incoming_put(): the command is done
 *
 * @state: the migration's from now on
 */
void fixed_ram_incoming_put(FixedRamIncoming *in, MigrationStatus state);

/**
 * fixed_ram_incoming_busy(): has a command taken hold of a load in @state?
 *
 * Any thread.
 */
bool fixed_ram_incoming_busy(MigrationStatus state);

/**
 * fixed_ram_incoming_pause(): if the engine has stalled, so has the migration
 *
 * Returns why, the caller's to free, or NULL if there is nothing to be done.
 * Any thread.
 */
Error *fixed_ram_incoming_pause(FixedRamIncoming *in);

/**
 * fixed_ram_incoming_may_finish(): is all there, and nobody at work on it?
 *
 * True once: from then on no command takes hold of it.
 */
bool fixed_ram_incoming_may_finish(FixedRamIncoming *in);

/** fixed_ram_incoming_lost(): the guest has pages that nobody must read. */
void fixed_ram_incoming_lost(uint64_t bytes);

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
    bool verified;              /* what is read is checked */
    uint64_t total;             /* bytes of RAM */
    uint64_t wanted;            /* bytes of units that hold data */
    uint64_t left;              /* of these, bytes not received */
    FixedRamLoadStats stats;
} FixedRamFigures;

/** fixed_ram_figures(): those of the load under way, or the last one's. */
void fixed_ram_figures(FixedRamFigures *figures);

#endif
