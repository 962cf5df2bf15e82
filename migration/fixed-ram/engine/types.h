/*
 * fixed-ram: what the engine and its user give each other
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_TYPES_H
#define MIGRATION_FIXED_RAM_ENGINE_TYPES_H

#include "latency.h"
#include "../format/sumtable.h"
#include "../format/working-set.h"

/* See load.h. */
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

/* See mapping.h. */
typedef struct FixedRamMapping FixedRamMapping;

/* What the memory that is replaced was advised, and the new one must be. */
typedef struct FixedRamMappingAdvice {
    bool fork;                  /* children get the memory, too */
    bool dump;                  /* core dumps hold the memory */
    bool merge;                 /* KSM may merge equal pages */
} FixedRamMappingAdvice;

#endif
