/*
 * fixed-ram: a limit on the bytes a second of several threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "throttle.h"

#define SLICE_NS    (100 * SCALE_MS)

static uint64_t current_speed(const FixedRamThrottle *throttle)
{
    return throttle->speed ? throttle->speed(throttle->opaque) : 0;
}

void fixed_ram_throttle_init(FixedRamThrottle *throttle,
                             uint64_t (*speed)(void *opaque), void *opaque)
{
    throttle->speed = speed;
    throttle->opaque = opaque;
    throttle->stopped = false;
    ratelimit_init(&throttle->limit);
    qemu_mutex_init(&throttle->lock);
    qemu_cond_init(&throttle->stop);
}

void fixed_ram_throttle_destroy(FixedRamThrottle *throttle)
{
    qemu_cond_destroy(&throttle->stop);
    qemu_mutex_destroy(&throttle->lock);
    ratelimit_destroy(&throttle->limit);
}

/* Sleep until @until, for one slice at most.  Returns false after a stop. */
static bool sleep_slice(FixedRamThrottle *throttle, int64_t until)
{
    int64_t ns = MIN(until - get_clock(), SLICE_NS);

    QEMU_LOCK_GUARD(&throttle->lock);
    if (!throttle->stopped && ns > 0) {
        qemu_cond_timedwait(&throttle->stop, &throttle->lock,
                            DIV_ROUND_UP(ns, SCALE_MS));
    }
    return !throttle->stopped;
}

void fixed_ram_throttle_wait(FixedRamThrottle *throttle, uint64_t bytes)
{
    uint64_t speed = current_speed(throttle);
    int64_t until;

    ratelimit_set_speed(&throttle->limit, speed, SLICE_NS);
    until = get_clock() + ratelimit_calculate_delay(&throttle->limit, bytes);
    while (get_clock() < until && current_speed(throttle) == speed &&
           sleep_slice(throttle, until)) {
        /* The limit may have changed: look again. */
    }
}

void fixed_ram_throttle_stop(FixedRamThrottle *throttle)
{
    QEMU_LOCK_GUARD(&throttle->lock);
    throttle->stopped = true;
    qemu_cond_broadcast(&throttle->stop);
}
