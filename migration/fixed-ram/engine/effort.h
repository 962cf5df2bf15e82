/*
 * fixed-ram: how hard loaders work
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_EFFORT_H
#define MIGRATION_FIXED_RAM_ENGINE_EFFORT_H

/*
 * Loaders that hold back keep each fault short, but the guest then faults for
 * longer.  Which is better depends on how often the guest will fault, and that
 * is not known in advance.  It is the problem of renting skis or buying them:
 * to rent is cheaper until the rent that was paid reaches the price.
 *
 *   rent    the time that threads have waited for faults
 *   price   the time in which loaders would bring all the rest; the guest
 *           would make little progress meanwhile
 *
 * So loaders hold back until the waiting has cost a share of the price.  The
 * price comes from what loaders' reads have taken in this load, so nothing here
 * is a constant of some disk.  A guest that never stops faulting is at full
 * speed after the time of an eager load, and that share of it.
 *
 * Time that passes pays the rent back, a part of it: a guest that seldom faults
 * never has loaders work hard.
 *
 * This file looks at no clock: callers pass the time.  A caller's lock guards
 * the meter.
 */

typedef enum FixedRamEffort {
    FIXED_RAM_EFFORT_POLITE,    /* faults are few: loaders leave them room */
    FIXED_RAM_EFFORT_STEADY,    /* faults cost something: loaders do not rest */
    FIXED_RAM_EFFORT_FULL,      /* faults cost too much: all at once */
} FixedRamEffort;

/* The time in which at least one of several things was under way. */
typedef struct FixedRamBusy {
    unsigned count;             /* things under way */
    int64_t since;              /* ns: when @ns was last brought up to date */
    int64_t ns;                 /* what has been counted until then */
} FixedRamBusy;

/* All zero to begin with. */
typedef struct FixedRamMeter {
    FixedRamBusy faults;        /* the rent: faults being served */
    FixedRamBusy reads;         /* loaders' reads */
    uint64_t bytes;             /* read by loaders in @reads.ns */
    bool forced;                /* full effort, whatever faults cost */
    FixedRamEffort effort;      /* what fixed_ram_meter_effort() said last */
} FixedRamMeter;

/** fixed_ram_meter_fault(): a fault thread takes up a fault */
void fixed_ram_meter_fault(FixedRamMeter *meter, int64_t now);

/** fixed_ram_meter_fault_end(): it has served the fault */
void fixed_ram_meter_fault_end(FixedRamMeter *meter, int64_t now);

/** fixed_ram_meter_read(): a loader begins to read */
void fixed_ram_meter_read(FixedRamMeter *meter, int64_t now);

/** fixed_ram_meter_read_end(): it has read @bytes */
void fixed_ram_meter_read_end(FixedRamMeter *meter, int64_t now,
                              uint64_t bytes);

/**
 * fixed_ram_meter_effort(): how hard should loaders work now?
 *
 * @left: bytes that are missing
 */
FixedRamEffort fixed_ram_meter_effort(FixedRamMeter *meter, int64_t now,
                                      uint64_t left);

#endif
