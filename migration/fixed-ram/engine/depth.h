/*
 * fixed-ram: how many loaders read at once while faults wait
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_DEPTH_H
#define MIGRATION_FIXED_RAM_ENGINE_DEPTH_H

/*
 * A fault waits for all that loaders have in flight.  Many disks are as fast
 * with one large read at a time as with several; then every further one only
 * makes faults wait.  Others need a few to be at full rate.  So the rate that
 * loaders reach decides: one more doubling of the readers is tried, and kept if
 * it pays.
 *
 * This file looks at no clock: callers pass the time.  A caller's lock guards
 * the depth.
 */

/* All zero to begin with. */
typedef struct FixedRamDepth {
    unsigned readers;           /* so many may read at once */
    bool trial;                 /* twice as many as before, to compare */
    unsigned windows;           /* since the last trial ended */
    double rate;                /* before the trial, in bytes per ns */
    int64_t since;              /* ns: when the window began */
    uint64_t bytes;             /* read in this window */
} FixedRamDepth;

/**
 * fixed_ram_depth_begin(): loaders begin to read at full rate
 *
 * The number of readers is that of the last time, or one.
 */
void fixed_ram_depth_begin(FixedRamDepth *depth, int64_t now);

/** fixed_ram_depth_read(): a loader has read @bytes; @readers may change. */
void fixed_ram_depth_read(FixedRamDepth *depth, int64_t now, uint64_t bytes);

#endif
