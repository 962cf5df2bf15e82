/*
 * fixed-ram: the state that the files of the engine share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_INTERNAL_H
#define MIGRATION_FIXED_RAM_ENGINE_INTERNAL_H

/*
 * The files of this folder in order.  A file calls, and includes the headers
 * of, files of lower lines only, and of format/ and util/:
 *
 *   load poison             what load.h offers to the engine's user
 *   threads                 workers start, are replaced, and end
 *   fault loader            what a worker's thread does
 *   replay                  what loaders do before all else
 *   remake                  a huge page for an extent that was broken up
 *   read place              a claim: from the source to the guest's memory
 *   worker                  a thread's buffer, claim, and read under way
 *   state                   errors, stalls and notifications
 *   restore written         a mapping: back to the file; what was written to
 *   mapping mapped-block    guest memory that is a mapping of the file
 *   repair verify-all       pages that cannot be read; all, before a load
 *   verify ranges collapse
 *   order record            working sets
 *   pace                    uses effort and depth
 *   marks claim             use map
 *   map uffd effort depth latency numa copies warm   know nothing of the others
 *
 * types.h and this header only declare: types.h is for all files, this one for
 * those from state upwards.
 */

#include "qemu/thread.h"
#include "order.h"
#include "pace.h"
#include "record.h"
#include "types.h"
#include "uffd.h"
#include "../util/buffer.h"
#include "../util/throttle.h"

/* What a loader reads of a packed copy at once. */
#define FIXED_RAM_BATCH_BYTES   (256 * KiB)
/* These are so many pages at most. */
#define FIXED_RAM_BATCH_MAX     (FIXED_RAM_BATCH_BYTES / (4 * KiB))

/*
 * A worker is a fault thread or a loader, with what it needs.  Its own thread
 * uses it, and the thread that starts, retires and joins workers: that is one
 * thread at a time, see fixed_ram_load_recover().
 */
typedef struct FixedRamWorker {
    /* Do not change after fixed_ram_worker_new(). */
    FixedRamLoad *load;
    bool fault;                 /* a fault thread, not a loader */

    /* Only for the thread that starts, retires and joins workers. */
    QemuThread thread;
    bool started;               /* @thread must be joined */

    /* Atomic: reading the userfaultfd failed, so the fault thread ended. */
    bool ended;

    /* Only for the worker's own thread. */
    FixedRamBuffer buf;         /* claims are put together here; its size is */
                                /* a power of two */
    unsigned moves;             /* huge pages taken from @buf */
    FixedRamBuffer spare;       /* pages that are taken out, see remake.c */
    const FixedRamBlock *like;  /* @buf has the NUMA policy of this block */
    FixedRamCursor cursor;      /* a loader's place in the file's order */
    size_t near;                /* a loader's place in the load's @asked */
    int64_t fault_begun;        /* when the thread took up its fault, in ns */

    /*
     * Only for the worker's own thread; while @reading is true only for the
     * holder of @lock.
     */
    FixedRamClaim claim;        /* what the thread reads and places */
    unsigned nbatch;            /* if it reads several claims at once: these */
    FixedRamClaim batch[FIXED_RAM_BATCH_MAX];
    FixedRamTurn turn;          /* a loader's turn to read */

    QemuMutex lock;             /* guards what follows */
    bool reading;               /* a read for @claim is under way */
    FixedRamSource *source;     /* of this read */
    FixedRamSumTable *sums;     /* reference of a retired worker, or NULL */
    bool retired;               /* no thread joins this one any more */
} FixedRamWorker;

/* The working set that loaders bring first, see replay.h. */
typedef struct FixedRamReplay {
    /* Do not change after fixed_ram_load_new(). */
    const FixedRamWorkingSet *set;      /* NULL: none */
    bool coarse;                /* bring its extents */
    int64_t begin_ns;           /* get_clock() at the load's beginning */

    QemuMutex lock;             /* guards what follows */
    FixedRamOrder next;         /* no loader has taken this yet */
    unsigned number;            /* of the source that the set is read from */
    bool packed;                /* read the packed copy */
    bool again;                 /* the set has been begun once before */
} FixedRamReplay;

struct FixedRamLoad {
    /* Do not change after fixed_ram_load_new(). */
    FixedRamMap *map;
    FixedRamLoadConfig config;

    /* Do not change after fixed_ram_load_register(). */
    FixedRamUffd uffd;          /* on demand */
    bool registered;            /* @uffd is open; ranges may be registered */

    /* Only for the thread that starts, retires and joins workers. */
    FixedRamWorker **workers;   /* fault threads first, then loaders */
    unsigned nworkers;
    GSList *old_sources;        /* no thread could be had to close them */

    /* These have locks of their own, or are atomic throughout. */
    FixedRamThrottle throttle;  /* of loaders */
    FixedRamPace pace;          /* of loaders */
    FixedRamRecord record;      /* of the order of first touch */
    FixedRamReplay replay;
    FixedRamLoadStats stats;    /* atomic */

    /* Atomic, without a lock. */
    unsigned reads;             /* reads under way */
    unsigned long *asked;       /* a bit an extent: the guest is there, by */
                                /* its faults or by the working set */
    size_t last_asked;          /* extent of the last fault + 1; 0: none */
    uint64_t notify_left;       /* notify when this many bytes are missing */

    /* Atomic; written under @lock. */
    FixedRamSource *source;     /* pages are read from here */
    unsigned source_number;     /* sources that were in use before */
    bool stalled;               /* no read may begin */
    bool guest_runs;            /* errors stall the load from now on */

    QemuMutex remake_lock;      /* guards @remaking */
    unsigned long *remaking;    /* a bit an extent: see remake.c */

    QemuMutex lock;             /* guards what follows */
    QemuCond cond;              /* something that loaders wait for changed */
    unsigned rewinds;           /* how often the map was rewound */
    bool failed;                /* an error came before the guest ran */
    bool loaders_quit;
    bool hold_loaders;          /* a record is being made */
    bool user_holds;            /* fixed_ram_load_hold() was called */
    Error *error;               /* why the load stalled or failed, or NULL */
};

#endif
