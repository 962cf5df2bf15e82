/*
 * fixed-ram: end a process that waits for a snapshot that cannot be read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "watchdog.h"
#include "trace.h"
#include "util/thread.h"

#define TICK_MS         100
/* With a tick or two before it, the process ends within two seconds. */
#define PATIENCE_MS     1500

struct FixedRamWatchdog {
    /* Written by the main thread, @map last, with a release. */
    FixedRamLoad *load;
    const FixedRamMap *map;     /* NULL: there is no engine yet; atomic */

    bool shutdown;              /* fixed_ram_watchdog_shutdown(); atomic */
    QemuThread thread;
    QemuSemaphore stop;         /* posted to end the thread */

    /* The watchdog's thread only. */
    uint64_t left;              /* bytes left in the map at the last tick */
    int64_t progress_ms;        /* when the load last made progress */
};

/*
 * A signal that ends QEMU is delivered to the main thread, which does not
 * notice while it waits in the kernel for a read or a page fault.  The signal
 * stays pending for the process, and this thread, like all threads but the
 * main one, blocks it and so can see it.
 */
static bool signal_pending(void)
{
    sigset_t set;

    return !sigpending(&set) &&
           (sigismember(&set, SIGTERM) || sigismember(&set, SIGINT) ||
            sigismember(&set, SIGHUP));
}

/*
 * A shutdown that the guest asks for does not count: "-action" may answer it
 * by pausing the guest.
 */
static bool exit_requested(const FixedRamWatchdog *watchdog)
{
    ShutdownCause cause = qemu_shutdown_requested_get();

    return qatomic_read(&watchdog->shutdown) ||
           cause == SHUTDOWN_CAUSE_HOST_SIGNAL ||
           cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT || signal_pending();
}

static bool makes_progress(FixedRamWatchdog *watchdog)
{
    const FixedRamMap *map = qatomic_load_acquire(&watchdog->map);
    uint64_t before = watchdog->left;

    if (!map) {
        return false;
    }
    watchdog->left = fixed_ram_map_left(map);
    return watchdog->left != before ||
           !fixed_ram_load_may_be_stuck(watchdog->load);
}

/* Do not unwind: a read that hangs keeps the process from ending that way. */
static void exit_now(void)
{
    trace_fixed_ram_watchdog_exit();
    error_report("The snapshot cannot be read, and the main thread or a vCPU "
                 "waits for it: QEMU exits without flushing block devices");
    _exit(EXIT_FAILURE);
}

static void *watchdog_thread(void *opaque)
{
    FixedRamWatchdog *watchdog = opaque;

    while (qemu_sem_timedwait(&watchdog->stop, TICK_MS)) {
        int64_t now = get_clock() / SCALE_MS;

        if (makes_progress(watchdog) || !exit_requested(watchdog)) {
            watchdog->progress_ms = now;
        } else if (now - watchdog->progress_ms > PATIENCE_MS) {
            exit_now();
        }
    }
    return NULL;
}

static void watchdog_destroy(FixedRamWatchdog *watchdog)
{
    qemu_sem_destroy(&watchdog->stop);
    g_free(watchdog);
}

FixedRamWatchdog *fixed_ram_watchdog_new(void)
{
    FixedRamWatchdog *watchdog = g_new0(FixedRamWatchdog, 1);
    Error *err = NULL;

    watchdog->progress_ms = get_clock() / SCALE_MS;
    qemu_sem_init(&watchdog->stop, 0);
    if (!fixed_ram_thread_create(&watchdog->thread, "fixed-ram/watch",
                                 watchdog_thread, watchdog,
                                 QEMU_THREAD_JOINABLE, &err)) {
        /* Only a load that gets stuck would need it. */
        trace_fixed_ram_watchdog_missing(error_get_pretty(err));
        error_free(err);
        watchdog_destroy(watchdog);
        return NULL;
    }
    return watchdog;
}

void fixed_ram_watchdog_attach(FixedRamWatchdog *watchdog, FixedRamLoad *load,
                               const FixedRamMap *map)
{
    if (watchdog) {
        watchdog->load = load;
        qatomic_store_release(&watchdog->map, map);
    }
}

void fixed_ram_watchdog_shutdown(FixedRamWatchdog *watchdog)
{
    if (watchdog) {
        qatomic_set(&watchdog->shutdown, true);
    }
}

void fixed_ram_watchdog_free(FixedRamWatchdog *watchdog)
{
    if (watchdog) {
        qemu_sem_post(&watchdog->stop);
        qemu_thread_join(&watchdog->thread);
        watchdog_destroy(watchdog);
    }
}
