/*
 * fixed-ram: a load in the background as a job, for query-jobs and others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_LOAD_JOB_H
#define MIGRATION_FIXED_RAM_LOAD_JOB_H

#include "engine/map.h"

/*
 * The job loads nothing itself: it shows what the load does, and hands on what
 * clients ask for.  It is paused while a client holds it and while the load is
 * paused by an error.
 *
 * Main thread, under the BQL.
 */

typedef struct FixedRamLoadJob FixedRamLoadJob;

typedef struct FixedRamLoadJobOps {
    /* The job has been paused or resumed, for whatever reason. */
    void (*hold)(void *opaque, bool hold);
    /* A client has resumed it, perhaps after an error. */
    void (*resumed)(void *opaque);
    /* QEMU ends: the job must not be used any more. */
    void (*gone)(void *opaque);
} FixedRamLoadJobOps;

/**
 * fixed_ram_load_job_new(): create the job; it does not run yet
 *
 * @ops, @opaque: until fixed_ram_load_job_end()
 *
 * Fails if a client has a job of the same name.
 */
FixedRamLoadJob *fixed_ram_load_job_new(const FixedRamLoadJobOps *ops,
                                        void *opaque, Error **errp);

/**
 * fixed_ram_load_job_start(): the guest may run, the rest of RAM follows
 *
 * @map: what is there; until fixed_ram_load_job_end()
 */
void fixed_ram_load_job_start(FixedRamLoadJob *job, const FixedRamMap *map);

/**
 * fixed_ram_load_job_error(): the load is paused by an error, or goes on
 *
 * @err: the reason, which the job takes; NULL: the load goes on
 *
 * Pauses and resumes the job.  A client's own pause stays.
 */
void fixed_ram_load_job_error(FixedRamLoadJob *job, Error *err);

/** fixed_ram_load_job_held(): has a client paused the job? */
bool fixed_ram_load_job_held(FixedRamLoadJob *job);

/**
 * fixed_ram_load_job_end(): the load has ended, or failed before the guest ran
 *
 * The caller must not use the job any more.
 */
void fixed_ram_load_job_end(FixedRamLoadJob *job);

#endif
