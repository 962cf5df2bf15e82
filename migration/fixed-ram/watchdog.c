/*
 * fixed-ram: ending the process while somebody waits for a page
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/error-report.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "system/runstate.h"
#include "watchdog.h"
#include "trace.h"

#define TICK_MS         100
/* With a tick or two before it, the process ends within two seconds. */
#define PATIENCE_MS     1500

struct FixedRamExit {
    FixedRamLoad *load;         /* NULL in pre-flight */
    const FixedRamMap *map;
    QemuThread thread;
    QemuSemaphore over;         /* posted when there is no need any more */
    bool begun;                 /* see fixed_ram_exit_begin(); atomic */
    uint64_t left;              /* of the map, at the last tick */
    int64_t moved;              /* when it was last seen to get on, in ms */
};

/* A shutdown that the guest asks for may be answered by a pause. */
static bool exit_wanted(const FixedRamExit *watch)
{
    ShutdownCause cause = qemu_shutdown_requested_get();

    return qatomic_read(&watch->begun) ||
           cause == SHUTDOWN_CAUSE_HOST_SIGNAL ||
           cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT;
}

static bool gets_on(FixedRamExit *watch)
{
    uint64_t before = watch->left;

    if (!watch->load) {
        return false;
    }
    watch->left = fixed_ram_map_left(watch->map);
    return watch->left != before || !fixed_ram_load_waits(watch->load);
}

/* The reads that hang may not let the process end by other means. */
static void leave(void)
{
    trace_fixed_ram_exit();
    error_report("The snapshot cannot be read, and somebody waits for it: "
                 "QEMU ends without flushing block devices");
    _exit(EXIT_FAILURE);
}

static void *exit_thread(void *opaque)
{
    FixedRamExit *watch = opaque;

    while (qemu_sem_timedwait(&watch->over, TICK_MS)) {
        int64_t now = get_clock() / SCALE_MS;

        if (gets_on(watch) || !exit_wanted(watch)) {
            watch->moved = now;
        } else if (now - watch->moved > PATIENCE_MS) {
            leave();
        }
    }
    return NULL;
}

FixedRamExit *fixed_ram_exit_watch(FixedRamLoad *load, const FixedRamMap *map)
{
    FixedRamExit *watch = g_new0(FixedRamExit, 1);

    watch->load = load;
    watch->map = map;
    watch->moved = get_clock() / SCALE_MS;
    qemu_sem_init(&watch->over, 0);
    qemu_thread_create(&watch->thread, "fixed-ram/exit", exit_thread, watch,
                       QEMU_THREAD_JOINABLE);
    return watch;
}

void fixed_ram_exit_unwatch(FixedRamExit *watch)
{
    if (watch) {
        qemu_sem_post(&watch->over);
        qemu_thread_join(&watch->thread);
        qemu_sem_destroy(&watch->over);
        g_free(watch);
    }
}

void fixed_ram_exit_begin(FixedRamExit *watch)
{
    qatomic_set(&watch->begun, true);
}
