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
#include "uffd.h"

/* What a loader reads at once: a word of 4 KiB pages. */
#define FIXED_RAM_LOADER_BYTES  (256 * KiB)

typedef struct FixedRamWorker {
    FixedRamLoad *load;
    QemuThread thread;
    bool started;
    bool fault;                 /* a fault thread, not a loader */
    bool gone;                  /* a fault thread that lost its descriptor */
    uint8_t *buf;               /* on demand: where pages are put together */
    FixedRamCursor cursor;      /* a loader's */
} FixedRamWorker;

struct FixedRamLoad {
    FixedRamMap *map;
    FixedRamLoadConfig config;
    FixedRamUffd uffd;          /* on demand */
    bool registered;            /* it is open, blocks may be registered */
    size_t buf_size;            /* of a worker's buffer */
    FixedRamWorker *workers;            /* fault threads first, then loaders */
    unsigned nworkers;
    RateLimit limit;            /* of loaders; has its own lock */
    FixedRamLoadStats stats;    /* atomic */

    FixedRamSource *source;     /* atomic; written under @lock */
    unsigned urgent;            /* faults being served; atomic */
    int64_t last_fault;         /* when the last was; get_clock(); atomic */
    uint64_t notify_left;       /* notify when so much is left; atomic */
    bool stalled;               /* do not read; atomic, written under @lock */

    QemuMutex lock;             /* guards what follows */
    QemuCond cond;              /* what loaders wait for has changed */
    GSList *old_sources;        /* readers may be in them until the end */
    unsigned rewinds;           /* how often the map was rewound */
    bool guest_runs;
    bool failed;
    bool loaders_quit;
    Error *error;
};

/** fixed_ram_fault_thread(): serves faults until the doorbell rings. */
void *fixed_ram_fault_thread(void *worker);

/** fixed_ram_loader_thread(): brings what is missing until told to quit. */
void *fixed_ram_loader_thread(void *worker);

/**
 * fixed_ram_load_read_failed(): stall, if @source is still the one in use
 *
 * The claim has been returned; @err is the engine's from now on.
 */
void fixed_ram_load_read_failed(FixedRamLoad *load, FixedRamSource *source,
                                Error *err);

/** fixed_ram_load_notify(): have the engine's user look at its state. */
void fixed_ram_load_notify(FixedRamLoad *load);

#endif
