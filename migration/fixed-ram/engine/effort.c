/*
 * fixed-ram: how hard loaders work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <math.h>
#include "qemu/timer.h"
#include "qemu/units.h"
#include "effort.h"

/* The share of the price at which an effort begins, as a divisor. */
#define STEADY_SHARE    64
#define FULL_SHARE      5
/* A guest may wait for so long in any case: people hardly notice it. */
#define FULL_LEAST_NS   (50 * SCALE_MS)
/* An effort ends when the rent has fallen to this part of where it began. */
#define END_PART        2
/* Time that passes pays this part of itself back, as a divisor. */
#define PAY_BACK        4
/* The price follows the reads of about the last so many bytes. */
#define RECENT_BYTES    (64 * MiB)

/* Count the time up to @now if something is under way. */
static void busy_update(FixedRamBusy *busy, int64_t now)
{
    if (busy->count) {
        busy->ns += MAX(now - busy->since, 0);
    }
    busy->since = now;
}

/* Time has passed: pay back, then count. */
static void rent_update(FixedRamMeter *meter, int64_t now)
{
    FixedRamBusy *rent = &meter->faults;
    int64_t passed = MAX(now - rent->since, 0);

    busy_update(rent, now);
    rent->ns = MAX(rent->ns - passed / PAY_BACK, 0);
}

void fixed_ram_meter_fault(FixedRamMeter *meter, int64_t now)
{
    rent_update(meter, now);
    meter->faults.count++;
}

void fixed_ram_meter_fault_end(FixedRamMeter *meter, int64_t now)
{
    rent_update(meter, now);
    meter->faults.count--;
}

void fixed_ram_meter_read(FixedRamMeter *meter, int64_t now)
{
    busy_update(&meter->reads, now);
    meter->reads.count++;
}

void fixed_ram_meter_read_end(FixedRamMeter *meter, int64_t now,
                              uint64_t bytes)
{
    busy_update(&meter->reads, now);
    meter->reads.count--;
    meter->bytes += bytes;
    if (meter->bytes > 2 * RECENT_BYTES) {
        meter->bytes /= 2;
        meter->reads.ns /= 2;
    }
}

/* How long loaders would need for @left bytes, in ns. */
static double price_of(const FixedRamMeter *meter, uint64_t left)
{
    return meter->bytes ? (double)meter->reads.ns / meter->bytes * left
                        : INFINITY;
}

/* Has the rent reached @limit, or not yet fallen back from it? */
static bool reached(const FixedRamMeter *meter, double limit,
                    FixedRamEffort effort)
{
    if (meter->effort >= effort) {
        limit /= END_PART;
    }
    return meter->faults.ns > limit;
}

FixedRamEffort fixed_ram_meter_effort(FixedRamMeter *meter, int64_t now,
                                      uint64_t left)
{
    double price = price_of(meter, left);

    rent_update(meter, now);
    if (meter->forced ||
        reached(meter, MAX(price / FULL_SHARE, FULL_LEAST_NS),
                FIXED_RAM_EFFORT_FULL)) {
        meter->effort = FIXED_RAM_EFFORT_FULL;
    } else if (reached(meter, price / STEADY_SHARE, FIXED_RAM_EFFORT_STEADY)) {
        meter->effort = FIXED_RAM_EFFORT_STEADY;
    } else {
        meter->effort = FIXED_RAM_EFFORT_POLITE;
    }
    return meter->effort;
}
