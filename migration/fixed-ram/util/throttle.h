/*
 * fixed-ram: a limit on the bytes a second of several threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_THROTTLE_H
#define MIGRATION_FIXED_RAM_UTIL_THROTTLE_H

#include "qemu/ratelimit.h"
#include "qemu/thread.h"

/*
 * The user may change the limit at any time, so the throttle asks for it: once
 * for each call of fixed_ram_throttle_wait() and every 100 ms while a thread
 * waits there.
 */
typedef struct FixedRamThrottle {
    /* Never change after fixed_ram_throttle_init() */
    uint64_t (*speed)(void *opaque);
    void *opaque;

    RateLimit limit;            /* has a lock of its own */
    QemuMutex lock;             /* guards @stopped */
    QemuCond stop;              /* @stopped has become true */
    bool stopped;
} FixedRamThrottle;

/**
 * fixed_ram_throttle_init(): set up a throttle
 *
 * @speed: returns the limit in bytes a second for all threads together, 0 for
 *         none.  Called by the threads that wait, without a lock of the
 *         throttle.  NULL: there is no limit.
 * @opaque: for @speed
 */
void fixed_ram_throttle_init(FixedRamThrottle *throttle,
                             uint64_t (*speed)(void *opaque), void *opaque);

/** fixed_ram_throttle_destroy(): no thread may be using @throttle any more. */
void fixed_ram_throttle_destroy(FixedRamThrottle *throttle);

/**
 * fixed_ram_throttle_wait(): wait until the limit allows another @bytes
 *
 * Returns early if the limit changes, and at once after
 * fixed_ram_throttle_stop().  Any thread.
 */
void fixed_ram_throttle_wait(FixedRamThrottle *throttle, uint64_t bytes);

/** fixed_ram_throttle_stop(): end all waits, now and later.  Any thread. */
void fixed_ram_throttle_stop(FixedRamThrottle *throttle);

#endif
