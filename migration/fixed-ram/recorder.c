/*
 * fixed-ram: recording a working set, and writing it into the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-events-fixed-ram.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "compat.h"
#include "format/working-set-write.h"
#include "util/thread.h"
#include "recorder.h"
#include "trace.h"

struct FixedRamRecorder {
    FixedRamLoad *load;
    FixedRamSource *source;     /* a reference; NULL: the record has ended */
    FixedRamRecorderConfig config;
    VMChangeStateEntry *state_entry; /* waits for the guest's start, or NULL */
    QEMUTimer *timer;           /* counts the seconds, or NULL */
};

/* A set that is to be written.  Its thread owns it, then the main thread. */
typedef struct WriteJob {
    FixedRamSource *source;
    FixedRamWorkingSet *set;
    uint64_t start;
    FixedRamSetOptions options;
    int64_t last_ns;            /* when the thread was last asked to go on */
    FixedRamSetResult result;
    Error *error;               /* why the set was not written, or NULL */
} WriteJob;

/* What query-migrate tells: of the record being made, or of the last one. */
static struct {
    bool valid;
    FixedRamRecordStatus status;
    FixedRamSetResult result;   /* what was written, or would be */
    char *error;                /* why it was not, or NULL */
} last;

static void set_last(FixedRamRecordStatus status,
                     const FixedRamSetResult *result, const char *error)
{
    last.valid = true;
    last.status = status;
    last.result = *result;
    g_free(last.error);
    last.error = g_strdup(error);
}

FixedRamRecorder *fixed_ram_recorder_new(FixedRamLoad *load,
                                         FixedRamSource *source,
                                         const FixedRamRecorderConfig *config)
{
    FixedRamRecorder *recorder = g_new0(FixedRamRecorder, 1);

    recorder->load = load;
    recorder->source = fixed_ram_source_ref(source);
    recorder->config = *config;
    set_last(FIXED_RAM_RECORD_STATUS_RECORDING, &(FixedRamSetResult) { },
             NULL);
    return recorder;
}

/*
 * Writing
 */

static void job_free(WriteJob *job)
{
    fixed_ram_source_unref(job->source);
    fixed_ram_working_set_free(job->set);
    error_free(job->error);
    g_free(job);
}

static void job_report(const WriteJob *job)
{
    const char *error = job->error ? error_get_pretty(job->error) : NULL;
    const FixedRamSetResult *result = &job->result;

    trace_fixed_ram_record_written(job->source->name, result->pages,
                                   result->pack_length, error ?: "");
    set_last(error ? FIXED_RAM_RECORD_STATUS_FAILED
                   : FIXED_RAM_RECORD_STATUS_WRITTEN, result, error);
    if (error) {
        warn_report("The working set of snapshot '%s' was recorded, but not "
                    "written: %s", job->source->name, error);
    }
    qapi_event_send_fixed_ram_working_set(job->source->path, result->pages,
                                          result->data_pages,
                                          result->pack_length, error);
}

static void job_done_bh(void *opaque)
{
    WriteJob *job = opaque;

    job_report(job);
    job_free(job);
}

/* Leave the disk to the guest and to loaders for as long as was worked. */
static bool job_go_on(void *opaque)
{
    WriteJob *job = opaque;

    g_usleep((get_clock() - job->last_ns) / SCALE_US);
    job->last_ns = get_clock();
    return true;
}

static void *write_thread(void *opaque)
{
    WriteJob *job = opaque;
    g_autoptr(FixedRamSnapshot) s =
        fixed_ram_snapshot_open(job->source, job->start,
                                qemu_target_page_size(), &job->error);

    job->last_ns = get_clock();
    if (s) {
        fixed_ram_working_set_write(s, job->set, &job->options, &job->result,
                                    &job->error);
    }
    aio_bh_schedule_oneshot(qemu_get_aio_context(), job_done_bh, job);
    return NULL;
}

static void start_job(WriteJob *job)
{
    QemuThread thread;

    set_last(FIXED_RAM_RECORD_STATUS_WRITING, &job->result, NULL);
    if (!fixed_ram_thread_create(&thread, "fixed-ram/set", write_thread, job,
                                 QEMU_THREAD_DETACHED, &job->error)) {
        job_report(job);
        job_free(job);
    }
}

/*
 * The end of the record
 */

static void stop_waiting(FixedRamRecorder *recorder)
{
    if (recorder->state_entry) {
        qemu_del_vm_change_state_handler(recorder->state_entry);
        recorder->state_entry = NULL;
    }
    if (recorder->timer) {
        timer_free(recorder->timer);
        recorder->timer = NULL;
    }
}

void fixed_ram_recorder_end(FixedRamRecorder *recorder)
{
    FixedRamWorkingSet *set = fixed_ram_load_end_record(recorder->load);
    WriteJob *job;

    stop_waiting(recorder);
    if (!set) {
        return;
    }
    trace_fixed_ram_record_end(set->pages, set->runs->len);
    set->time = time(NULL);
    job = g_new0(WriteJob, 1);
    *job = (WriteJob) {
        .source = g_steal_pointer(&recorder->source),
        .set = set,
        .start = recorder->config.start,
        .options = {
            .pack = recorder->config.pack, .go_on = job_go_on, .opaque = job,
        },
        .result = { .pages = set->pages },
    };
    start_job(job);
}

static void seconds_passed(void *opaque)
{
    fixed_ram_recorder_end(opaque);
}

static void start_timer(FixedRamRecorder *recorder)
{
    recorder->timer = timer_new_ms(QEMU_CLOCK_REALTIME, seconds_passed,
                                   recorder);
    timer_mod(recorder->timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
              recorder->config.seconds * 1000LL);
}

static void state_changed(void *opaque, bool running, RunState state)
{
    FixedRamRecorder *recorder = opaque;

    if (running && !recorder->timer) {
        start_timer(recorder);
    }
}

void fixed_ram_recorder_guest_may_run(FixedRamRecorder *recorder)
{
    if (runstate_is_running()) {
        start_timer(recorder);
    } else {
        recorder->state_entry =
            qemu_add_vm_change_state_handler(state_changed, recorder);
    }
}

void fixed_ram_recorder_cancel(FixedRamRecorder *recorder)
{
    fixed_ram_working_set_free(fixed_ram_load_end_record(recorder->load));
    stop_waiting(recorder);
    set_last(FIXED_RAM_RECORD_STATUS_FAILED, &last.result,
             "the load came to its end before the guest ran, or QEMU ends");
}

void fixed_ram_recorder_free(FixedRamRecorder *recorder)
{
    if (recorder) {
        fixed_ram_recorder_end(recorder);
        fixed_ram_source_unref(recorder->source);
        g_free(recorder);
    }
}

FixedRamRecordInfo *fixed_ram_recorder_info(FixedRamLoad *load)
{
    FixedRamRecordInfo *info;

    if (!last.valid) {
        return NULL;
    }
    info = g_new0(FixedRamRecordInfo, 1);
    info->status = last.status;
    info->pages = last.status == FIXED_RAM_RECORD_STATUS_RECORDING && load
        ? fixed_ram_load_recorded(load) : last.result.pages;
    info->packed = last.result.pack_length;
    info->error = g_strdup(last.error);
    return info;
}
