/*
 * fixed-ram: the engine's threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_WORKER_H
#define MIGRATION_FIXED_RAM_WORKER_H

#include "qemu/ratelimit.h"
#include "qemu/thread.h"
#include "load.h"
#include "pace.h"
#include "uffd.h"

typedef struct FixedRamWorker {
    FixedRamLoad *load;
    QemuThread thread;
    bool started;
    bool fault;                 /* a fault thread, not a loader */
    bool gone;                  /* a fault thread that lost its descriptor */
    uint8_t *buf;               /* where claims are put together */
    size_t buf_size;            /* a power of two */
    void *buf_map;              /* the mapping that it lies in */
    unsigned moves;             /* huge pages taken from it */
    FixedRamCursor cursor;      /* a loader's, in the order of the file */
    size_t near;                /* the extent it is at where faults were */
} FixedRamWorker;

struct FixedRamLoad {
    FixedRamMap *map;
    FixedRamLoadConfig config;
    FixedRamUffd uffd;          /* on demand */
    bool registered;            /* it is open, blocks may be registered */
    FixedRamWorker *workers;            /* fault threads first, then loaders */
    unsigned nworkers;
    RateLimit limit;            /* of loaders; has its own lock */
    FixedRamLoadStats stats;    /* atomic */

    FixedRamSource *source;     /* atomic; written under @lock */
    unsigned reads;             /* under way; atomic */
    FixedRamPace pace;          /* of loaders */
    unsigned long *asked;       /* a bit an extent: faults were there; atomic */
    size_t last_asked;          /* extent of the last fault + 1; atomic */
    uint64_t notify_left;       /* notify when so much is left; atomic */
    bool stalled;               /* do not read; atomic, written under @lock */

    QemuMutex lock;             /* guards what follows */
    QemuCond cond;              /* what loaders wait for has changed */
    GSList *old_sources;        /* readers may be in them until the end */
    unsigned rewinds;           /* how often the map was rewound */
    bool guest_runs;            /* also read without it; atomic */
    bool failed;
    bool loaders_quit;
    Error *error;
};

/** fixed_ram_fault_thread(): serves faults until the doorbell rings. */
void *fixed_ram_fault_thread(void *worker);

/** fixed_ram_loader_thread(): brings what is missing until told to quit. */
void *fixed_ram_loader_thread(void *worker);

/**
 * fixed_ram_load_read_counts(): may what was just read be placed?
 *
 * @source: where it was read from
 *
 * Not if the load has stalled meanwhile: from then on the file is being mended,
 * or replaced, and a read may find anything.
 */
bool fixed_ram_load_read_counts(FixedRamLoad *load, FixedRamSource *source);

/**
 * fixed_ram_load_read_in_vain(): what was read from @source is not placed
 *
 * The claim has been returned.  @err is why it could not be read: the load
 * stalls, if @source is still the one in use; the engine owns @err from now on.
 * NULL: it could, but does not count.
 */
void fixed_ram_load_read_in_vain(FixedRamLoad *load, FixedRamSource *source,
                                 Error *err);

/** fixed_ram_load_notify(): have the engine's user look at its state. */
void fixed_ram_load_notify(FixedRamLoad *load);

#endif
