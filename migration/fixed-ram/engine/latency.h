/*
 * fixed-ram: a histogram of times that several threads may fill
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_LATENCY_H
#define MIGRATION_FIXED_RAM_ENGINE_LATENCY_H

/*
 * There are eight buckets for each power of two nanoseconds, so a percentile is
 * right to one part in eight.
 */
#define FIXED_RAM_LATENCY_BUCKETS (8 * 64)

/* The fields are atomic.  All zero is an empty histogram. */
typedef struct FixedRamLatency {
    uint64_t count;
    uint64_t sum;               /* ns */
    uint64_t max;               /* ns */
    uint64_t buckets[FIXED_RAM_LATENCY_BUCKETS];
} FixedRamLatency;

/** fixed_ram_latency_add(): count one time of @ns.  Any thread. */
void fixed_ram_latency_add(FixedRamLatency *latency, uint64_t ns);

/**
 * fixed_ram_latency_percentile(): the time, in ns, that @percent of all times
 * stay at or below
 *
 * 0 if there are none.  Any thread.
 */
uint64_t fixed_ram_latency_percentile(const FixedRamLatency *latency,
                                      unsigned percent);

#endif
