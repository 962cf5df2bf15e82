/*
 * fixed-ram: how many loaders read at once while faults wait
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "depth.h"

/* Rates are compared over so many bytes: enough extents to even them out. */
#define WINDOW_BYTES    (32 * MiB)
/* A trial is made once in so many windows: the disk's other users change. */
#define TRIAL_WINDOWS   32
/* Twice the readers must bring this share more, as a divisor. */
#define GAIN            8
#define READERS_MAX     64

static void begin_trial(FixedRamDepth *depth, double rate)
{
    if (depth->readers < READERS_MAX) {
        depth->trial = true;
        depth->rate = rate;
        depth->readers *= 2;
    }
}

static void end_trial(FixedRamDepth *depth, double rate)
{
    depth->trial = false;
    depth->windows = 1;
    if (rate > depth->rate + depth->rate / GAIN) {
        /* It pays.  Do four times as many pay, too? */
        begin_trial(depth, rate);
    } else {
        depth->readers /= 2;
    }
}

static void end_window(FixedRamDepth *depth, double rate)
{
    if (depth->trial) {
        end_trial(depth, rate);
    } else if (depth->windows++ % TRIAL_WINDOWS == 0) {
        begin_trial(depth, rate);
    }
}

static void begin_window(FixedRamDepth *depth, int64_t now)
{
    depth->since = now;
    depth->bytes = 0;
}

void fixed_ram_depth_begin(FixedRamDepth *depth, int64_t now)
{
    depth->readers = MAX(depth->readers, 1);
    begin_window(depth, now);
}

void fixed_ram_depth_read(FixedRamDepth *depth, int64_t now, uint64_t bytes)
{
    depth->bytes += bytes;
    if (depth->bytes >= WINDOW_BYTES) {
        end_window(depth, (double)depth->bytes / MAX(now - depth->since, 1));
        begin_window(depth, now);
    }
}
