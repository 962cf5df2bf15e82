/*
 * fixed-ram: the engine's threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_INTERNAL_H
#define MIGRATION_FIXED_RAM_ENGINE_INTERNAL_H

#include "qemu/thread.h"
#include "load.h"
#include "pace.h"
#include "uffd.h"
#include "../util/buffer.h"
#include "../util/throttle.h"

typedef struct FixedRamWorker {
    FixedRamLoad *load;
    QemuThread thread;
    bool started;
    bool fault;                 /* a fault thread, not a loader */
    bool gone;                  /* a fault thread that lost its descriptor */
    FixedRamBuffer buf;         /* where claims are put together */
    unsigned moves;             /* huge pages taken from it */
    FixedRamCursor cursor;      /* a loader's, in the order of the file */
    size_t near;                /* the extent it is at where faults were */

    QemuMutex lock;             /* guards what follows: a read under way */
    const FixedRamClaim *claim; /* what it is for; NULL: there is none */
    FixedRamTurn *turn;         /* a loader's */
    FixedRamSource *source;
    FixedRamSumTable *sums;     /* a retired one's reference, or NULL */
    bool retired;               /* nobody waits for it any more */
} FixedRamWorker;

struct FixedRamLoad {
    FixedRamMap *map;
    FixedRamLoadConfig config;
    FixedRamUffd uffd;          /* on demand */
    bool registered;            /* it is open, blocks may be registered */
    FixedRamWorker **workers;   /* fault threads first, then loaders */
    unsigned nworkers;
    FixedRamThrottle throttle;  /* of loaders */
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

/** fixed_ram_worker_at(): where in its buffer @offset of a block goes */
static inline uint8_t *fixed_ram_worker_at(const FixedRamWorker *w,
                                           uint64_t offset)
{
    /* Claims lie in aligned ranges no larger than the buffer. */
    return w->buf.mem + (offset & (w->buf.size - 1));
}

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

/** fixed_ram_worker_new(): a worker with a buffer of @buf_size bytes. */
FixedRamWorker *fixed_ram_worker_new(FixedRamLoad *load, bool fault,
                                     size_t buf_size, Error **errp);

/** fixed_ram_worker_start(): start its thread. */
void fixed_ram_worker_start(FixedRamWorker *w);

/** fixed_ram_worker_free(): free it; its thread has ended. */
void fixed_ram_worker_free(FixedRamWorker *w);

/**
 * fixed_ram_read_begin(): the worker is about to read from @source
 *
 * @claim: what for
 * @turn: a loader's; NULL: it is for a fault, see fixed_ram_pace_fault()
 *
 * Returns false if nothing is to be read from there any more.
 */
bool fixed_ram_read_begin(FixedRamWorker *w, const FixedRamClaim *claim,
                          FixedRamTurn *turn, FixedRamSource *source);

/**
 * fixed_ram_read_end(): it has done so
 *
 * If this returns false the worker was retired, and its caller must touch
 * nothing more, only call fixed_ram_worker_leave().
 */
bool fixed_ram_read_end(FixedRamWorker *w);

/** fixed_ram_worker_leave(): end the calling thread, whose worker is @w. */
G_NORETURN void fixed_ram_worker_leave(FixedRamWorker *w);

/**
 * fixed_ram_load_retire(): wait for no read that is under way
 *
 * The load is stalled, so what they read does not count.  Their claims are
 * missing again, and other threads take their place.  Fails if there is no
 * memory for these; may be called again then.
 */
bool fixed_ram_load_retire(FixedRamLoad *load, Error **errp);

#endif
