/*
 * fixed-ram: a histogram of times that several threads may fill
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "latency.h"

/*
 * Each value below 8 has a bucket of its own.  Above, each power of two has 8
 * buckets: the three bits after the leading one select one of them.
 */
static unsigned latency_bucket(uint64_t ns)
{
    unsigned shift;

    if (ns < 8) {
        return ns;
    }
    shift = 60 - clz64(ns);
    return 8 * (shift + 1) + ((ns >> shift) & 7);
}

/* The largest value that falls into bucket number @i. */
static uint64_t latency_bucket_end(unsigned i)
{
    unsigned shift = i < 8 ? 0 : i / 8 - 1;

    if (i < 8) {
        return i;
    }
    return ((8ULL + i % 8 + 1) << shift) - 1;
}

void fixed_ram_latency_add(FixedRamLatency *latency, uint64_t ns)
{
    uint64_t max = qatomic_read(&latency->max);

    qatomic_inc(&latency->buckets[latency_bucket(ns)]);
    qatomic_add(&latency->sum, ns);
    qatomic_inc(&latency->count);
    while (ns > max) {
        uint64_t seen = qatomic_cmpxchg(&latency->max, max, ns);

        if (seen == max) {
            break;
        }
        max = seen;
    }
}

uint64_t fixed_ram_latency_percentile(const FixedRamLatency *latency,
                                      unsigned percent)
{
    uint64_t count = qatomic_read(&latency->count);
    uint64_t rank = DIV_ROUND_UP(count * percent, 100);
    uint64_t seen = 0;

    if (!count) {
        return 0;
    }
    for (unsigned i = 0; i < FIXED_RAM_LATENCY_BUCKETS; i++) {
        seen += qatomic_read(&latency->buckets[i]);
        if (seen >= MAX(rank, 1)) {
            return MIN(latency_bucket_end(i), qatomic_read(&latency->max));
        }
    }
    return qatomic_read(&latency->max);
}
