/*
 * fixed-ram: the engine that loads pages from a source into memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_LOAD_H
#define MIGRATION_FIXED_RAM_ENGINE_LOAD_H

#include "latency.h"
#include "map.h"
#include "../format/source.h"
#include "../format/sumtable.h"
#include "../format/working-set.h"

/*
 * Eager: loaders read straight into memory that no other thread uses yet.
 *
 * On demand: all blocks are registered with userfaultfd and empty.  Fault
 * threads load the pages for which threads wait, loaders load the rest.  Each
 * page is read into a worker's own buffer and placed whole.
 *
 * The engine knows neither guests nor QEMU's locks.  It calls notify() of its
 * user when something has changed, and the user then asks what it was.
 */

typedef struct FixedRamLoad FixedRamLoad;

typedef struct FixedRamLoadOps {
    /*
     * The state has changed: progress that was asked for has been made, the
     * load is complete, or there was an error.  Called by any thread, and
     * perhaps more often than needed.
     */
    void (*notify)(void *opaque);
    /*
     * Returns the limit for all loaders in bytes a second; 0: no limit.  Called
     * by loaders after each read.  NULL: no limit.
     */
    uint64_t (*bandwidth)(void *opaque);
    /*
     * A thread begins to wait for the unit at @addr; no thread waits for it any
     * longer.  The second is called for each unit that is placed.  Called by
     * the engine's threads.  NULL: the user does not want to know.
     */
    void (*wait_begin)(void *opaque, uintptr_t addr, uint32_t thread_id);
    void (*wait_end)(void *opaque, uintptr_t addr);
    /*
     * The packed copy of the working set is damaged or cannot be read: its
     * pages are read from their places.  Called once, by a loader; takes @err,
     * which need not name the file.  NULL: the user does not want to know.
     */
    void (*pack_failed)(void *opaque, Error *err);
} FixedRamLoadOps;

typedef struct FixedRamLoadConfig {
    bool on_demand;
    unsigned loaders;           /* threads; 0 is allowed on demand */
    FixedRamSumTable *sums;     /* a reference is taken; NULL: do not verify */
    bool record;                /* on demand: fixed_ram_load_end_record() */
    /* On demand: what comes first; until the load is freed; NULL: nothing */
    const FixedRamWorkingSet *set;
    const FixedRamLoadOps *ops;
    void *opaque;               /* for @ops */
} FixedRamLoadConfig;

typedef enum FixedRamLoadState {
    FIXED_RAM_LOAD_ACTIVE,      /* pages are missing and are being loaded */
    FIXED_RAM_LOAD_STALLED,     /* an error; fixed_ram_load_recover() helps */
    FIXED_RAM_LOAD_FAILED,      /* an error before the guest ran: final */
    FIXED_RAM_LOAD_COMPLETE,    /* every page is received */
} FixedRamLoadState;

/* The fields are atomic. */
typedef struct FixedRamLoadStats {
    uint64_t faults;            /* pages for which threads waited */
    uint64_t fault_bytes;       /* read by fault threads */
    uint64_t loader_bytes;      /* read by loaders */
    uint64_t lost_bytes;        /* given up */
    uint64_t replay_bytes;      /* of the set, placed ahead of faults */
    uint64_t faults_outside;    /* of the set, in the first seconds */
    FixedRamLatency latency;    /* of faults: message read to page placed */
} FixedRamLoadStats;

/**
 * fixed_ram_load_new(): set up a load; no thread runs yet
 *
 * @map: remains the caller's, and must exist until fixed_ram_load_free()
 * @source: belongs to the load from now on, also on failure
 */
FixedRamLoad *fixed_ram_load_new(FixedRamMap *map, FixedRamSource *source,
                                 const FixedRamLoadConfig *config,
                                 Error **errp);

/**
 * fixed_ram_load_register(): on demand, have missing pages fault
 *
 * Between this and fixed_ram_load_start() the caller empties all blocks, and
 * must not touch them otherwise.
 */
bool fixed_ram_load_register(FixedRamLoad *load, Error **errp);

/**
 * fixed_ram_load_start(): start fault threads and loaders
 *
 * The host may refuse some threads.  This fails if it refuses all fault threads
 * or all loaders; then the load can only be freed.
 */
bool fixed_ram_load_start(FixedRamLoad *load, Error **errp);

/** fixed_ram_load_state(): see FixedRamLoadState.  Any thread. */
FixedRamLoadState fixed_ram_load_state(FixedRamLoad *load);

/**
 * fixed_ram_load_error(): a copy of the error that stalled or failed the load
 *
 * Returns NULL if there is none.  The caller frees the copy.  Any thread.
 */
Error *fixed_ram_load_error(FixedRamLoad *load);

/**
 * fixed_ram_load_notify_below(): call notify() once when at most @left bytes
 * have not been received
 *
 * Any thread.
 */
void fixed_ram_load_notify_below(FixedRamLoad *load, uint64_t left);

/**
 * fixed_ram_load_guest_runs(): from now on errors stall the load, they do not
 * fail it
 *
 * Returns false if the load has failed before.  Any thread.
 */
bool fixed_ram_load_guest_runs(FixedRamLoad *load);

/**
 * fixed_ram_load_stall(): stop reading, as after an error
 *
 * @err: the reason; the load takes it
 *
 * Any thread.
 */
void fixed_ram_load_stall(FixedRamLoad *load, Error *err);

/**
 * fixed_ram_load_recover(): go on after a stall
 *
 * @source: is read from now on; it belongs to the load on success
 *
 * This does not wait for reads that are still under way, which may hang, nor
 * will fixed_ram_load_end() wait for them.  It fails, and the load remains
 * stalled, if there is no memory or no thread to replace theirs.
 *
 * Any thread.  The caller makes sure that no other thread recovers the load,
 * gives up pages of it, or ends it at the same time.
 */
bool fixed_ram_load_recover(FixedRamLoad *load, FixedRamSource *source,
                            Error **errp);

/**
 * fixed_ram_load_give_up(): do without the unit at @offset of the block @name
 *
 * @offset: bytes from the block's start, rounded down to a unit
 *
 * A thread that touches the unit gets SIGBUS from now on, or EFAULT in a system
 * call.  With checksums all units of the cluster are given up that have not
 * been received.
 *
 * Fails if the page has been received, if it is being read and the load is not
 * stalled, or if the kernel (Linux before 6.6) cannot do this.  Any thread,
 * with the same care as for fixed_ram_load_recover().
 */
bool fixed_ram_load_give_up(FixedRamLoad *load, const char *name,
                            uint64_t offset, Error **errp);

/**
 * fixed_ram_load_recorded(): pages that the record has so far; any thread
 */
uint64_t fixed_ram_load_recorded(FixedRamLoad *load);

/**
 * fixed_ram_load_end_record(): end the record that the configuration asked for
 *
 * Until then loaders claim nothing, and a fault brings no page but its own.
 *
 * Returns the set, which the caller frees; NULL if no record is being made.
 * Any thread.
 */
FixedRamWorkingSet *fixed_ram_load_end_record(FixedRamLoad *load);

/**
 * fixed_ram_load_may_be_stuck(): may the load be unable to make progress now?
 *
 * Yes if it is stalled, or if a read is under way, since that may hang; and
 * before the guest runs, since the user's own reads may hang too.  Any thread.
 */
bool fixed_ram_load_may_be_stuck(FixedRamLoad *load);

/**
 * fixed_ram_load_hold(): have loaders wait before their next claim
 *
 * @hold: false: let them go on
 *
 * Faults are still served, so the load may complete all the same.  Any thread.
 */
void fixed_ram_load_hold(FixedRamLoad *load, bool hold);

/**
 * fixed_ram_load_full_effort(): have loaders work as hard as they can
 *
 * @on: false: leave room for faults again
 *
 * Any thread.
 */
void fixed_ram_load_full_effort(FixedRamLoad *load, bool on);

/**
 * fixed_ram_load_quit(): tell loaders to end, without waiting for them
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
 * fixed_ram_load_free(): end all threads, unregister the memory and free
 *
 * A thread that still waits for a page goes on with whatever the memory holds,
 * so the load must be complete, or its guest must never have run.
 */
void fixed_ram_load_free(FixedRamLoad *load);

/**
 * fixed_ram_load_stats(): what has been done so far
 *
 * The figures exist until fixed_ram_load_free().  Any thread.
 */
const FixedRamLoadStats *fixed_ram_load_stats(FixedRamLoad *load);

#endif
