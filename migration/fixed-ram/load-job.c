/*
 * fixed-ram: a load in the background as a job, for query-jobs and others
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/job.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "load-job.h"

#define JOB_ID          "fixed-ram-load"
/* How often the progress is brought up to date. */
#define PROGRESS_NS     (100 * SCALE_MS)

/* QEMU's job layer owns it. */
struct FixedRamLoadJob {
    Job common;
    const FixedRamLoadJobOps *ops;      /* NULL: the load has ended */
    void *opaque;               /* for @ops */
    const FixedRamMap *map;     /* NULL until fixed_ram_load_job_start() */
    uint64_t shown;             /* bytes that the progress shows as done */
    bool stalled;               /* paused because of an error */
};

static FixedRamLoadJob *load_job(Job *job)
{
    return container_of(job, FixedRamLoadJob, common);
}

static void show_progress(FixedRamLoadJob *j)
{
    uint64_t left = fixed_ram_map_left(j->map);
    uint64_t done = j->map->wanted - left;

    job_progress_update(&j->common, done - j->shown);
    job_progress_set_remaining(&j->common, left);
    j->shown = done;
}

/*
 * The driver
 */

static int coroutine_fn load_job_run(Job *job, Error **errp)
{
    FixedRamLoadJob *j = load_job(job);

    while (j->ops && !job_is_cancelled(job)) {
        show_progress(j);
        job_sleep_ns(job, PROGRESS_NS);
    }
    return j->ops ? -ECANCELED : 0;
}

static void coroutine_fn load_job_pause(Job *job)
{
    FixedRamLoadJob *j = load_job(job);

    if (j->ops) {
        j->ops->hold(j->opaque, true);
    }
}

static void coroutine_fn load_job_resume(Job *job)
{
    FixedRamLoadJob *j = load_job(job);

    if (j->ops) {
        j->ops->hold(j->opaque, false);
    }
}

static void load_job_user_resume(Job *job)
{
    FixedRamLoadJob *j = load_job(job);

    j->stalled = false;
    if (j->ops) {
        j->ops->resumed(j->opaque);
    }
}

static bool load_job_may_cancel(Job *job, Error **errp)
{
    error_setg(errp, "Job '%s' cannot be cancelled: the guest needs all of its "
               "RAM", job->id);
    return false;
}

static void load_job_free(Job *job)
{
    FixedRamLoadJob *j = load_job(job);

    if (j->ops) {
        j->ops->gone(j->opaque);
    }
}

static const JobDriver load_job_driver = {
    .instance_size = sizeof(FixedRamLoadJob),
    .job_type = JOB_TYPE_FIXED_RAM_LOAD,
    .run = load_job_run,
    .pause = load_job_pause,
    .resume = load_job_resume,
    .user_resume = load_job_user_resume,
    .may_cancel = load_job_may_cancel,
    .free = load_job_free,
};

/*
 * What the load tells
 */

FixedRamLoadJob *fixed_ram_load_job_new(const FixedRamLoadJobOps *ops,
                                        void *opaque, Error **errp)
{
    FixedRamLoadJob *j = job_create(JOB_ID, &load_job_driver, NULL,
                                    qemu_get_aio_context(), JOB_DEFAULT,
                                    NULL, NULL, errp);

    if (j) {
        j->ops = ops;
        j->opaque = opaque;
    }
    return j;
}

void fixed_ram_load_job_start(FixedRamLoadJob *j, const FixedRamMap *map)
{
    j->map = map;
    job_start(&j->common);
}

/* Called with the job lock held: end a pause as job-resume does. */
static void end_pause_locked(Job *job)
{
    if (job->user_paused) {
        job->user_paused = false;
        job_resume_locked(job);
    }
}

void fixed_ram_load_job_error(FixedRamLoadJob *j, Error *err)
{
    Job *job = &j->common;

    JOB_LOCK_GUARD();
    error_free(job->err);
    job->err = err;
    if (err && !job->user_paused) {
        j->stalled = true;
        /* So that job-resume is accepted. */
        job->user_paused = true;
        job_pause_locked(job);
    } else if (!err && j->stalled) {
        j->stalled = false;
        end_pause_locked(job);
    }
}

bool fixed_ram_load_job_held(FixedRamLoadJob *j)
{
    JOB_LOCK_GUARD();
    return j->common.user_paused && !j->stalled;
}

void fixed_ram_load_job_end(FixedRamLoadJob *j)
{
    Job *job = &j->common;

    j->ops = NULL;
    if (!j->map) {
        job_early_fail(job);
        return;
    }
    show_progress(j);
    JOB_LOCK_GUARD();
    error_free(job->err);
    job->err = NULL;
    end_pause_locked(job);
    job_enter_cond_locked(job, NULL);
}
