/*
 * fixed-ram: the engine that brings pages from a source into memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_LOAD_H
#define MIGRATION_FIXED_RAM_ENGINE_LOAD_H

#include "latency.h"
#include "map.h"
#include "../format/source.h"
#include "../format/sumtable.h"

/*
 * Eager: loaders read straight into memory that nobody uses yet.
 *
 * On demand: all blocks are registered with userfaultfd and empty.  Fault
 * threads bring what somebody waits for, loaders bring the rest; each page is
 * read into a thread's own buffer and placed whole.
 *
 * The engine knows neither guests nor QEMU's locks.  It tells its user by
 * notify() that something has changed and is asked then what it was.
 */

typedef struct FixedRamLoad FixedRamLoad;

typedef struct FixedRamLoadOps {
    /*
     * Progress asked for, completion or an error: come and look.  Any thread;
     * may be called more often than needed.
     */
    void (*notify)(void *opaque);
    /*
     * Bytes a second for all loaders; 0: no limit.  Called by loaders after
     * each read.  NULL: no limit.
     */
    uint64_t (*bandwidth)(void *opaque);
    /*
     * A thread waits for the unit at @addr / it need not wait any more.
     * The second is called for each unit placed.  NULL: not interested.
     */
    void (*wait_begin)(void *opaque, uintptr_t addr, uint32_t thread_id);
    void (*wait_end)(void *opaque, uintptr_t addr);
} FixedRamLoadOps;

typedef struct FixedRamLoadConfig {
    bool on_demand;
    unsigned loaders;           /* threads; 0 is allowed on demand */
    FixedRamSumTable *sums;     /* a reference is taken; NULL: do not verify */
    const FixedRamLoadOps *ops;
    void *opaque;               /* for @ops */
} FixedRamLoadConfig;

typedef enum FixedRamLoadState {
    FIXED_RAM_LOAD_ACTIVE,      /* pages are missing and being brought */
    FIXED_RAM_LOAD_STALLED,     /* an error; fixed_ram_load_recover() helps */
    FIXED_RAM_LOAD_FAILED,      /* an error before the guest ran: final */
    FIXED_RAM_LOAD_COMPLETE,    /* every page is received */
} FixedRamLoadState;

typedef struct FixedRamLoadStats {
    uint64_t faults;            /* pages that somebody waited for */
    uint64_t fault_bytes;       /* read by fault threads */
    uint64_t loader_bytes;      /* read by loaders */
    uint64_t lost_bytes;        /* given up */
    FixedRamLatency latency;    /* of faults: message read to page placed */
} FixedRamLoadStats;

/**
 * fixed_ram_load_new(): set up an engine; nothing runs yet
 *
 * @map: stays the caller's and outlives the engine
 * @source: the engine owns it from now on
 */
FixedRamLoad *fixed_ram_load_new(FixedRamMap *map, FixedRamSource *source,
                                 const FixedRamLoadConfig *config,
                                 Error **errp);

/**
 * fixed_ram_load_register(): on demand, have missing pages fault
 *
 * After this and before fixed_ram_load_start() the caller empties all blocks,
 * and must not touch them otherwise.
 */
bool fixed_ram_load_register(FixedRamLoad *load, Error **errp);

/** fixed_ram_load_start(): start fault threads and loaders. */
void fixed_ram_load_start(FixedRamLoad *load);

/** fixed_ram_load_state(): see FixedRamLoadState.  Any thread. */
FixedRamLoadState fixed_ram_load_state(FixedRamLoad *load);

/**
 * fixed_ram_load_error(): a copy of the error that stalled or failed the load
 *
 * NULL if there is none.  Any thread.
 */
Error *fixed_ram_load_error(FixedRamLoad *load);

/**
 * fixed_ram_load_notify_below(): call notify() once when @left bytes or fewer
 * have not been received
 */
void fixed_ram_load_notify_below(FixedRamLoad *load, uint64_t left);

/**
 * fixed_ram_load_guest_runs(): from now on errors stall, not fail
 *
 * Returns false if the load has failed before.  Any thread.
 */
bool fixed_ram_load_guest_runs(FixedRamLoad *load);

/**
 * fixed_ram_load_stall(): stop reading, as an error would
 *
 * @err: the reason; the engine owns it
 *
 * Any thread.
 */
void fixed_ram_load_stall(FixedRamLoad *load, Error *err);

/**
 * fixed_ram_load_recover(): go on after a stall
 *
 * @source: read from here from now on; the engine owns it then
 *
 * Reads that are still under way, perhaps for ever, are not waited for, here
 * nor later.  Fails, and the load stays stalled, if there is no memory for
 * threads in the place of theirs.
 *
 * Any thread, but not while others recover, give up, or end the load.
 */
bool fixed_ram_load_recover(FixedRamLoad *load, FixedRamSource *source,
                            Error **errp);

/**
 * fixed_ram_load_give_up(): do without the unit at @offset of the block @name
 *
 * @offset: bytes from the block's start, rounded down to a unit
 *
 * Whoever touches it gets SIGBUS from now on, or EFAULT in a system call.
 * Fails if the page is there, if it is being read and the load not stalled,
 * or if the kernel (Linux before 6.6) cannot do this.  Any thread, as for
 * fixed_ram_load_recover().
 */
bool fixed_ram_load_give_up(FixedRamLoad *load, const char *name,
                            uint64_t offset, Error **errp);

/**
 * fixed_ram_load_waits(): may there be no getting on at present?
 *
 * The load is stalled, or a read is under way, which may take for ever; so may
 * those of the user, who loads the rest before the guest runs.  Any thread.
 */
bool fixed_ram_load_waits(FixedRamLoad *load);

/**
 * fixed_ram_load_quit(): let loaders end, without waiting for them
 *
 * Faults are still served.  Any thread.
 */
void fixed_ram_load_quit(FixedRamLoad *load);

/**
 * fixed_ram_load_end(): end all threads
 *
 * Waits for reads under way, if they began after the last recovery.
 */
void fixed_ram_load_end(FixedRamLoad *load);

/**
 * fixed_ram_load_free(): end all threads, unregister and free
 *
 * Who still waits for a page touches it again, unwatched: only for a load that
 * is complete or whose guest never ran.
 */
void fixed_ram_load_free(FixedRamLoad *load);

/** fixed_ram_load_stats(): what has been done so far.  Any thread. */
const FixedRamLoadStats *fixed_ram_load_stats(FixedRamLoad *load);

#endif
